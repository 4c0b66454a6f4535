"""The GPT put together from components, its parameter and FLOP counts, and the bridge to transformers."""
