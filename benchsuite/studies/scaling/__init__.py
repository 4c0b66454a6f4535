"""Does Direct Feedback Alignment scale as backpropagation does? Loss against compute, and the angles of gradients."""
