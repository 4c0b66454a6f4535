"""From text to a trained model: corpora, tokenizer, training loop."""
