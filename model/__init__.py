"""GPT-SoVITS as PyTorch modules: phones and tensors in, tensors out."""
