"""Tools that change, copy or capture a network, and the network that they get."""

from sefactory.networks.zoos import import_torchvision

import_torchvision()  # before the imports of timm and torchvision in the files of this folder
