"""Tests of sefactory/kernels: each fast path against the plain formula."""
