"""The model provider "OpenAI Compatible", as the package lfx-openai-compatible has it, with usage in streams.

Langflow asks a server for the tokens of a streamed answer only where the provider is OpenAI or Anthropic. Agents always
stream, so on any other server they would report no usage. `extension.json` is that package's own, with another class
for the chat model. Langflow loads extensions in the order of their distributions' names, and the first one to register
a provider wins: this one stands before `lfx-`.
"""
