"""Repairs of ATen's CPU kernels."""
