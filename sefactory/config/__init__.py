"""From YAML text, or Python containers, to a syntax tree.

yaml_reader reads text, repository and merge resolve names and inheritance, overrides changes values, parser makes the tree.
It imports errors and shapes, and no torch.
"""
