"""The chat agent: `ChatAgent(memory, models).reply("…")`, and the conversations it had."""

from agentmem_apps.chat.agent import ChatAgent, ChatStream
from agentmem_apps.chat.conversation import Conversation, conversation, conversations, search
from agentmem_apps.chat.reply import Reply

__all__ = ["ChatAgent", "ChatStream", "Conversation", "Reply", "conversation", "conversations", "search"]
