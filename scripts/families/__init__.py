"""The smallest networks of timm's and torchvision's families, and insertions into them."""
