"""The place of the custom C++/CUDA operators. This version has none: `fused` is not yet among the implementations."""
