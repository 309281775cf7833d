"""A product for other tools: adapter, merged, GGUF, Ollama, vLLM, classifiers in numpy; parity with the product."""
