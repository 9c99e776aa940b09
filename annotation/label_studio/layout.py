"""The labelling configuration of a project there, built from a campaign's question."""

from dataclasses import dataclass
from xml.etree import ElementTree as tree

from trivox.annotation.work.questions import Question
from trivox.annotation.work.shapes import SkipReason
from trivox.platform.records import Tie

ANSWER, REASONS, COMMENT = "answer", "reasons", "comment"
SKIP = "skip:"
ENGLISH, CHINESE = "en", "zh"
_STYLE = (
    ".tv-ab{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:16px}"
    ".tv-card{border:1px solid #d0d4dc;border-radius:8px;padding:12px}"
    "@media(max-width:700px){.tv-ab{grid-template-columns:minmax(0,1fr)}}"
)
_WORDS = {
    ENGLISH: {
        "3": "A is much better",
        "2": "A is better",
        "1": "A is slightly better",
        "-1": "B is slightly better",
        "-2": "B is better",
        "-3": "B is much better",
        "both_good": "Both are equally good",
        "both_bad": "Both are equally bad",
        "cannot_tell": "Cannot tell them apart",
        "broken_audio": "No answer: a clip is broken",
        "wrong_language": "No answer: the language is not mine",
        "unclear_task": "No answer: the question is unclear",
        "upsetting": "No answer: it upsets me",
        "personal_data": "No answer: it holds personal data",
        "other": "No answer: another reason",
        "history": "Conversation so far",
        "voice": "Reference voice",
        "speech": "Speech",
        "choose": "Listen to all of both, one after the other; then choose.",
        "why": "Why? Tick what applies.",
        "say": "Say in a sentence why",
        "say_required": "Say in a sentence why (needed)",
    },
    CHINESE: {
        "3": "A 好得多",
        "2": "A 更好",
        "1": "A 略好",
        "-1": "B 略好",
        "-2": "B 更好",
        "-3": "B 好得多",
        "both_good": "两个一样好",
        "both_bad": "两个一样差",
        "cannot_tell": "分不出高下",
        "broken_audio": "不作答：音频有问题",
        "wrong_language": "不作答：不是我会的语言",
        "unclear_task": "不作答：问题不清楚",
        "upsetting": "不作答：内容令人不适",
        "personal_data": "不作答：含有个人信息",
        "other": "不作答：其他原因",
        "history": "之前的对话",
        "voice": "参考音色",
        "speech": "语音",
        "choose": "请先后完整听完两段，然后选择。",
        "why": "为什么？请勾选符合的理由。",
        "say": "用一句话说明理由",
        "say_required": "用一句话说明理由（必填）",
    },
}


@dataclass(frozen=True)
class Layout:
    """What all comparisons of one project there have in common.

    language: of the page, "en" or "zh". spoken: the sides are sounds; else they are transcripts of one. context,
    history, voice: whether there is a text before, a dialogue to hear, a voice to imitate.
    """

    question: str
    language: str
    overlap: int
    spoken: bool
    context: bool
    history: bool
    voice: bool


def language_of(tag: str) -> str:
    """The language of the page for a task's language."""
    return CHINESE if tag.split("-")[0].lower() == CHINESE else ENGLISH


def labelling_config(layout: Layout, question: Question) -> str:
    """XML of controls `answer`, `reasons` and `comment`; what is stored are their aliases, never their words."""
    words = _WORDS[layout.language]
    root = tree.Element("View")
    tree.SubElement(root, "Style").text = _STYLE
    tree.SubElement(root, "Text", name="ask", value="$ask")
    if layout.context:
        tree.SubElement(root, "Text", name="context", value="$context")
    for name in ("history", "voice"):
        if getattr(layout, name):
            tree.SubElement(root, "Header", value=words[name], size="6")
            _audio(root, name)
    _sides(root, layout, words)
    _answer(root, question, words)
    _reasons(root, layout, question, words)
    return tree.tostring(root, encoding="unicode")


def _sides(root: tree.Element, layout: Layout, words: dict[str, str]) -> None:
    if not layout.spoken:
        tree.SubElement(root, "Header", value=words["speech"], size="6")
        _audio(root, "speech", "ctrl+1")
    both = tree.SubElement(root, "View", className="tv-ab")
    for place, side in enumerate("ab", 1):
        card = tree.SubElement(both, "View", className="tv-card")
        tree.SubElement(card, "Header", value=side.upper(), size="4")
        if layout.spoken:
            _audio(card, f"audio_{side}", f"ctrl+{place}")
        else:
            tree.SubElement(card, "Text", name=f"text_{side}", value=f"$text_{side}")


def _audio(parent: tree.Element, name: str, hotkey: str | None = None) -> None:
    keys = {} if hotkey is None else {"hotkey": hotkey}
    shown = {"height": "64", "zoom": "false", "speed": "true", "volume": "true"}
    tree.SubElement(parent, "Audio", {"name": name, "value": f"${name}"} | shown | keys)


def _answer(root: tree.Element, question: Question, words: dict[str, str]) -> None:
    tree.SubElement(root, "Header", value=words["choose"], size="6")
    choices = tree.SubElement(
        root, "Choices", name=ANSWER, toName="ask", choice="single-radio", required="true",
        requiredMessage=words["choose"],
    )  # fmt: skip
    answers = ["3", "2", "1", "-1", "-2", "-3", *(Tie if question.ties else ())]
    for key, alias in enumerate(answers, 1):
        tree.SubElement(choices, "Choice", value=words[alias], alias=alias, hotkey=str(key))
    for reason in SkipReason:
        alias = f"{SKIP}{reason.value}"
        tree.SubElement(choices, "Choice", value=words[reason.value], alias=alias)


def _reasons(root: tree.Element, layout: Layout, question: Question, words: dict[str, str]) -> None:
    if question.reasons:
        tree.SubElement(root, "Header", value=words["why"], size="6")
        ticks = tree.SubElement(
            root, "Choices", name=REASONS, toName="ask", choice="multiple", showInline="true"
        )
        for tag, texts in question.reasons.items():
            shown = texts.get(layout.language, texts[ENGLISH])
            tree.SubElement(ticks, "Choice", value=shown, alias=tag)
    if question.rationale != "none":
        needed = question.rationale == "required"
        tree.SubElement(
            root, "TextArea", name=COMMENT, toName="ask", rows="2", maxSubmissions="1", editable="true",
            placeholder=words["say_required" if needed else "say"],
        )  # fmt: skip


def same_config(one: str, other: str) -> bool:
    """Whether two configurations ask the same, whatever their spaces and the order of attributes."""
    try:
        return _plain(one) == _plain(other)
    except tree.ParseError:
        return False


def _plain(config: str) -> str:
    return tree.canonicalize(config, strip_text=True)
