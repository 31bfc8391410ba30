"""What reads like an order to a model, or an attempt on a memory, and not like something that somebody tells.

A turn may carry text from a page, a mail or a file whose writer wants the model that reads it to obey, or a memory to
keep what nobody said. Patterns know the commonest forms, in seven languages and in hiding; they are no proof either
way. What they find waits for a person, and what they miss is still read as data, each fact with its quote.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Final

__all__ = ["REVIEW", "REVIEWED", "suspicion"]

REVIEW: Final = "review"  # the tag, and in `meta` the reason, of what waits for a person
REVIEWED: Final = "reviewed"  # the tag by which a person says that it is well

_LONGEST: Final = 100_000  # characters that are looked at: as many as the rules read
_MOST_CODED: Final = 50  # runs of a text that may be base64
_SHORTEST_CODED: Final = 24  # characters of one: 18 bytes, fewer than any order has
_PLAIN: Final = 0.7  # share of letters and spaces by which a decoded run is text

_GAP: Final = r"[^.!?\n]{0,40}?"  # words in between, of one sentence
# Where an order begins: a line, a clause, or a word that leads it in. "He ignored …" and "to ignore …" are told.
_ORDER: Final = (
    r"(?:^|[^\w\s,'’]\s*|\b(?:please|now|then|and|must|should|just|immediately|assistant|ai|chatgpt|claude"
    r"|model),?\s+)"
)
_MODEL: Final = r"(?:ai|llm|language model|chat ?bot|assistant|dan|gpt|model|agent|bot|jailbreak)\b"
_ABOUT: Final = (
    r"(?:prefers?|likes?|loves?|hates?|wants?|lives?|works?|trusts?|always|never|agrees?|agreed|authori[sz]e[sd]?"
    r"|owns?"
    r"|consents?|consented|approved?|approves|needs?|buys?|votes?|believes?|has (?:agreed|approved|given|consented"
    r"|asked|authori[sz]ed|requested|no|an? )|is (?:an? |the |allergic|authori[sz]ed|happy|willing|in love"
    r"|deceased|dead"
    r"|located|married))"
)

# (why, words of which it has one, what it looks like): on text without capitals. The words are there for speed alone:
# nearly all that people say has none of them.
_FORMS: Final[list[tuple[str, str, str]]] = [
    (
        "it orders to set earlier instructions aside",
        "instruction|prompt|directive|programming|training|rule|guideline|command|message|context|told|above|this",
        rf"{_ORDER}(?:ignore|disregard|forget|override|bypass|discard|do not follow|stop following)\s{_GAP}\b(?:"
        rf"(?:previous|prior|above|earlier|preceding|foregoing|existing|system|all|any|your)\b{_GAP}"
        r"\b(?:instructions?|prompts?|directives?|programming|training)\b"
        rf"|(?:previous|prior|above|preceding|system|safety)\b{_GAP}\b(?:rules?|guidelines?|commands?|messages?"
        rf"|context)\b"
        r"|(?:everything|all|anything) (?:you were told|you have been told|above|before this|prior to this)\b)",
    ),
    (
        "it orders to set earlier instructions aside",
        "anweisung|instru|anordnung|befehl|vorgabe|consignes|directives|indicaciones|órdenes|ordens"
        "|orientações|指|提示|命令|プロンプト",
        r"\b(?:ignorier(?:e|en sie)|vergiss|vergessen sie|missachte)\b.{0,30}\b(?:vorherigen?|bisherigen?|obigen?"
        r"|früheren?"
        r"|vorigen?|alle[nr]?)\b.{0,20}(?:anweisung|instruktion|anordnung|befehl|vorgabe)"
        r"|\b(?:ignore[rz]?|oublie[rz]?|ne tiens pas compte|ne tenez pas compte)\b.{0,30}(?:instructions|consignes"
        r"|directives).{0,20}(?:précédente?s?|antérieure?s|ci-dessus|initiales)"
        r"|\b(?:ignor[ae]|olvid[ae]|descarta|haz caso omiso de)\b.{0,30}(?:instrucciones|indicaciones|órdenes)"
        r".{0,20}(?:anteriores|previas|de arriba)"
        r"|\b(?:ignor[ae]|esqueça|esquece|desconsidere)\b.{0,30}(?:instruções|orientações|ordens).{0,20}(?:anteriores"
        r"|prévias|acima)"
        r"|(?:忽略|无视|無視|忘记|忘記|忘掉|不要理会).{0,10}(?:之前|以前|上面|以上|先前|前面|所有|一切).{0,10}(?:指令|指示|提示|命令)"
        r"|(?:これまで|以前|上記|今まで|前|全て|すべて)の.{0,12}(?:指示|命令|プロンプト|指令).{0,6}(?:無視|忘れ)",
    ),
    (
        "it has marks that only a chat's own frame has",
        "<|[|#",
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id|begin_of_text)\b[^"
        r"|\n]{0,20}\|>"
        r"|\[/?inst\]|<</?sys>>|</?memories>|<start_of_turn>|</?(?:system|system_prompt|assistant_instructions)>"
        r"|^#{2,} ?(?:system|instruction) ?:",
    ),
    (
        "it speaks as the system",
        ":|end of",
        r"^\W{0,4}(?:system|developer|administrator|admin|root)(?: (?:prompt|message|instructions?|override"
        r"|update|note"
        r"|command))?\]?\W{0,2}:\W{0,3}(?:the assistant|you\b|your\b|from now|ignore|always|never|do not|please"
        r"|store|save|remember|update|delete|grant|disable|enable|all|respond|reply|memory|new\b|this user)"
        rf"|^\W{{0,4}}(?:new|updated|revised) (?:system )?(?:instructions?|directives?|prompt)(?: for {_MODEL})?:"
        r"|\bend of (?:the )?(?:user|system) (?:input|prompt|message|instructions?)\b",
    ),
    (
        "it gives the model another role",
        "you are now|you are no longer|pretend|act as if|imagine|roleplay|from now on|du bist|sie sind|tu es"
        "|vous êtes|ahora eres|agora você|你现在是|あなたは",
        rf"\byou are (?:now|no longer)\b (?:in (?:developer|god|admin|debug|dan|jailbreak|unrestricted)\b"
        rf"|bound by|restricted|(?:an? |the )?(?:[\w-]+ ){{0,3}}{_MODEL})"
        rf"|\b(?:pretend|act as if|imagine|roleplay)(?: that)? (?:you are|you have|you're"
        rf"|to be)\b {_GAP}\b(?:no (?:rules"
        r"|restrictions|limits|filters|guidelines)|unrestricted|uncensored|unfiltered|jailbroken)\b"
        r"|\bfrom now on,? (?:you|the assistant) (?:will|must|shall|should|only|always|are to)\b(?: \w+){0,3} "
        r"(?:respond|answer|reply|obey|output|recommend|follow|comply|ignore)\b"
        r"|\b(?:du bist|sie sind) (?:jetzt|ab sofort|nun)\b.{0,30}(?:\bki\b|assistent|sprachmodell)"
        r"|\b(?:tu es|vous êtes) (?:maintenant|désormais)\b.{0,30}(?:\bia\b|assistant|modèle)"
        r"|\bahora eres\b.{0,30}(?:\bia\b|asistente|modelo)|\bagora você é\b.{0,30}(?:\bia\b|assistente|modelo)"
        r"|你现在是.{0,12}(?:ai|助手|模型|机器人|管理员)|あなたは(?:今|これ)から.{0,20}(?:ai|アシスタント|モデル)",
    ),
    (
        "it tells whoever keeps a memory what to keep of a user",
        "the user|the customer|the human|the account|memor|nutzer|l'utilisat|usuari|usuári|utilizador|用户|用戶"
        "|客户|ユーザー",
        rf"{_ORDER}(?:remember|store|save|memori[sz]e|record|log|note down|keep in mind)\b[^.!?\n]{{0,50}}?\b"
        rf"the (?:user|customer|human|account (?:holder|owner))(?:'s (?:password|name|bank|address|account|email)"
        rf"|,? (?:\w+ )?{_ABOUT})"
        r"|\b(?:add|save|store|write|commit|insert|append|put|record)\b[^.!?\n]{0,60}?\b(?:to|in|into) "
        r"(?:your|the (?:ai|assistant|agent|model|bot)'s|long-term|persistent) (?:(?:long-term|persistent"
        r"|permanent|user)"
        r" )?memory\b(?! card| stick| chip)"
        r"|\b(?:update|overwrite|replace|modify) (?:your|the (?:ai|assistant|agent|user)'s) (?:long-term "
        r"|stored )?memor"
        r"|\b(?:merke? dir|speichere|notiere|merken sie sich)\b.{0,30}\bder (?:be)?nutzer\b"
        r"|\b(?:retiens|retenez|mémorise[rz]?|enregistre[rz]?|souviens-toi)\b.{0,30}\bl'utilisat(?:eur|rice)\b"
        r"|\b(?:recuerda|guarda|almacena|memoriza|registra)\b.{0,30}\b(?:el usuario|la usuaria)\b"
        r"|\b(?:lembre-se|guarde|salve|armazene|memorize|registre)\b.{0,30}\b(?:o usuário|a usuária|o utilizador)\b"
        r"|(?:记住|記住|保存|存储|储存|记录).{0,8}(?:用户|用戶|客户)|ユーザー[はが].{0,40}(?:記憶|保存|覚え)(?:し|せ|て|る)",
    ),
    (
        "it orders a memory to be emptied",
        "memor|records",
        rf"{_ORDER}(?:delete|erase|wipe|clear|purge|reset)\s{_GAP}\b(?:your (?:entire |whole |long-term "
        rf"|stored )?memor"
        r"(?:y|ies)\b(?! card| stick)|(?:all|every) (?:stored |saved |user )memor|the user's (?:memor|records))",
    ),
    (
        "it asks for what is not to be told",
        "prompt|instruction|message|rules|above|user|memories|history|conversation|api key|credential"
        "|about all|about other|about every|about the|anweisung|系统",
        rf"{_ORDER}(?:reveal|print|show|repeat|output|display|leak|tell me|give me|dump|list|recite|send|share)\b"
        rf"{_GAP}\b(?:(?:system|hidden|initial|original|secret|internal) (?:prompt|instructions|message|rules)"
        r"|(?:everything|all|the (?:words|text)) (?:written |you were told )?above"
        r"|(?:other|another|all|every) users?'?s?'? (?:data|memor|messages|conversations?|secrets|passwords?)"
        r"|(?:everything|all|what) (?:that )?you (?:know|remember|have stored) about (?:all|other|every"
        r"|the (?:other|user)))"
        r"|\b(?:send|forward|post|upload|exfiltrate|email|append)\b[^.!?\n]{0,60}?\b(?:memories|chat history"
        r"|conversations?"
        r"|api keys?|credentials|system prompt)\b[^.!?\n]{0,40}?\b(?:to|at) (?:https?://|[\w.+-]+@)"
        r"|\b(?:zeige?|gib|verrate|nenne)\b.{0,30}\bsystem-?(?:prompt|anweisung)|(?:显示|输出|告诉我|泄露).{0,10}系统(?:提示|指令)",
    ),
    (
        "it speaks to whatever model reads it",
        "read|process|summari|parsing",
        r"\b(?:any|the|dear|attention|hello|hey|if you are|note to)\b,? (?:all )?(?:an? |the |any )?(?:ai|llm"
        r"|language model"
        r"|ai (?:assistant|agent|model))s? (?:that |who |which )?(?:(?:is|are) )?(?:reads?|reading|processing"
        r"|summari[sz]ing|parsing)\b"
        r"|\b(?:ai|llm|ai assistant|ai agent|language model)s? reading this\b|\bwhen (?:an?|the) (?:ai|llm"
        r"|assistant|model)"
        r" (?:reads|processes|summari[sz]es) this\b",
    ),
]
_SUSPECTS: Final = [(why, words.split("|"), re.compile(form, re.MULTILINE)) for why, words, form in _FORMS]

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{8,}")  # ASCII nobody sees; a flag has 5 at most
_UNSEEN: Final = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]{8,}")  # bits, in signs without a width
_CODED: Final = re.compile(rf"[A-Za-z0-9+/_-]{{{_SHORTEST_CODED},}}(?:\r?\n[A-Za-z0-9+/_-]{{4,}})*={{0,2}}")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_FORMATS: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")


def suspicion(text: str) -> str:
    """Why the text reads like an order to a model or an attempt on the memory, in words; "" when it does not.

    Looks at its first 100,000 characters, and at what they hide: entities, letters of other forms, signs without a
    width, comments, base64.
    """
    text = text[:_LONGEST]
    if why := _reads(text):
        return why
    if _TAGS.search(text) or _UNSEEN.search(text):
        return "it hides something in signs that nobody sees"
    return next((f"{why}, in base64" for hidden in _decoded(text) if (why := _reads(hidden))), "")


def _reads(text: str) -> str:
    plain = text if text.isascii() else _FORMATS.sub("", unicodedata.normalize("NFKC", text))
    if "&" in plain:
        plain = html.unescape(plain)
    plain = plain.casefold().replace("’", "'")
    return next(
        (why for why, words, form in _SUSPECTS if any(word in plain for word in words) and form.search(plain)), ""
    )


def _decoded(text: str) -> Iterator[str]:
    """The runs of base64 that are text, of several lines or of the first alone."""
    for run in islice(_CODED.finditer(text), _MOST_CODED):
        for coded in dict.fromkeys(("".join(run[0].split()), run[0].split()[0])):
            letters = coded.rstrip("=").translate(_URL_SAFE)
            try:
                said = base64.b64decode(letters + "=" * (-len(letters) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
            if sum(sign.isalpha() or sign == " " for sign in said) > _PLAIN * len(said):
                yield said
