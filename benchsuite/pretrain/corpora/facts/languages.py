"""Eleven languages, and the frames in which each of them tells and asks the same facts.

The original study trained on eleven languages; its scripts prepare fifteen (en, and ar, am, bn, ca, es, fr, hi, id, ja,
pt, ru, sw, ur, zh: bigscience-workshop/bigscience, data/oscar-multilingual), its tokenizer has thirteen, and which were
the eleven is not known here. These are nine of the fifteen, and eu and vi of BLOOM's. They have what makes such a
mixture hard: four scripts, one of them from right to left and one without spaces, a language without relatives (eu) and
two that are very near (ca, es), and from 0.4 GB to 1.3 TB of text in OSCAR.

Names come from CLDR (through Babel) in the form that a list shows. No frame inflects them: they stand in quotation
marks after a word for what they are ("the territory “X”"), which also keeps articles and elision away, or after a
colon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Language:
    """`tell` has two frames for each attribute, {t} for the territory and {v} for the value. `ask` ends where the
    answer begins. `gap` stands between sentences and before an answer, `stop` after it."""

    script: str  # as the names of Unicode characters begin
    tell: dict[str, tuple[str, str]]
    ask: dict[str, str]
    speakers: str  # {t}, {l} for the language and {p} for a percentage
    next_day: str  # {d} for a date with its day of the week
    month: str  # {m} for a year and a month in digits
    gap: str = " "
    stop: str = "."
    direction: Literal["left-to-right", "right-to-left"] = "left-to-right"


LANGUAGES = {
    "ar": Language(
        script="ARABIC",
        direction="right-to-left",
        tell={
            "currency": ("اسم عملة إقليم «{t}» هو «{v}».", "الإقليم: {t}. العملة: {v}."),
            "language": ("اسم اللغة الرسمية لإقليم «{t}» هو «{v}».", "الإقليم: {t}. اللغة الرسمية: {v}."),
        },
        ask={
            "currency": "سؤال: ما اسم عملة إقليم «{t}»؟ جواب:",
            "language": "سؤال: ما اسم اللغة الرسمية لإقليم «{t}»؟ جواب:",
        },
        speakers="الإقليم: {t}. اللغة: {l}. المتحدثون: {p}.",
        next_day="التاريخ: {d}. اليوم التالي:",
        month="السنة والشهر: {m}. كتابة:",
    ),
    "ca": Language(
        script="LATIN",
        tell={
            "currency": ("La moneda del territori «{t}» es diu «{v}».", "Territori: {t}. Moneda: {v}."),
            "language": (
                "La llengua oficial del territori «{t}» es diu «{v}».",
                "Territori: {t}. Llengua oficial: {v}.",
            ),
        },
        ask={
            "currency": "Pregunta: Com es diu la moneda del territori «{t}»? Resposta:",
            "language": "Pregunta: Com es diu la llengua oficial del territori «{t}»? Resposta:",
        },
        speakers="Territori: {t}. Llengua: {l}. Parlants: {p}.",
        next_day="Data: {d}. Dia següent:",
        month="Any i mes: {m}. Escrit:",
    ),
    "en": Language(
        script="LATIN",
        tell={
            "currency": ("The currency of the territory “{t}” is called “{v}”.", "Territory: {t}. Currency: {v}."),
            "language": (
                "The official language of the territory “{t}” is called “{v}”.",
                "Territory: {t}. Official language: {v}.",
            ),
        },
        ask={
            "currency": "Question: What is the currency of the territory “{t}” called? Answer:",
            "language": "Question: What is the official language of the territory “{t}” called? Answer:",
        },
        speakers="Territory: {t}. Language: {l}. Speakers: {p}.",
        next_day="Date: {d}. Next day:",
        month="Year and month: {m}. Written out:",
    ),
    "es": Language(
        script="LATIN",
        tell={
            "currency": ("La moneda del territorio «{t}» se llama «{v}».", "Territorio: {t}. Moneda: {v}."),
            "language": (
                "La lengua oficial del territorio «{t}» se llama «{v}».",
                "Territorio: {t}. Lengua oficial: {v}.",
            ),
        },
        ask={
            "currency": "Pregunta: ¿Cómo se llama la moneda del territorio «{t}»? Respuesta:",
            "language": "Pregunta: ¿Cómo se llama la lengua oficial del territorio «{t}»? Respuesta:",
        },
        speakers="Territorio: {t}. Lengua: {l}. Hablantes: {p}.",
        next_day="Fecha: {d}. Día siguiente:",
        month="Año y mes: {m}. Escrito:",
    ),
    "eu": Language(
        script="LATIN",
        tell={
            "currency": ("«{t}» lurraldeko moneta «{v}» da.", "Lurraldea: {t}. Moneta: {v}."),
            "language": ("«{t}» lurraldeko hizkuntza ofiziala «{v}» da.", "Lurraldea: {t}. Hizkuntza ofiziala: {v}."),
        },
        ask={
            "currency": "Galdera: Zein da «{t}» lurraldeko moneta? Erantzuna:",
            "language": "Galdera: Zein da «{t}» lurraldeko hizkuntza ofiziala? Erantzuna:",
        },
        speakers="Lurraldea: {t}. Hizkuntza: {l}. Hiztunak: {p}.",
        next_day="Data: {d}. Hurrengo eguna:",
        month="Urtea eta hilabetea: {m}. Idatziz:",
    ),
    "fr": Language(
        script="LATIN",
        tell={
            "currency": ("La monnaie du territoire « {t} » s'appelle « {v} ».", "Territoire : {t}. Monnaie : {v}."),
            "language": (
                "La langue officielle du territoire « {t} » s'appelle « {v} ».",
                "Territoire : {t}. Langue officielle : {v}.",
            ),
        },
        ask={
            "currency": "Question : Comment s'appelle la monnaie du territoire « {t} » ? Réponse :",
            "language": "Question : Comment s'appelle la langue officielle du territoire « {t} » ? Réponse :",
        },
        speakers="Territoire : {t}. Langue : {l}. Locuteurs : {p}.",
        next_day="Date : {d}. Jour suivant :",
        month="Année et mois : {m}. En toutes lettres :",
    ),
    "hi": Language(
        script="DEVANAGARI",
        tell={
            "currency": ("“{t}” क्षेत्र की मुद्रा का नाम “{v}” है।", "क्षेत्र: {t}। मुद्रा: {v}।"),
            "language": ("“{t}” क्षेत्र की आधिकारिक भाषा का नाम “{v}” है।", "क्षेत्र: {t}। आधिकारिक भाषा: {v}।"),
        },
        ask={
            "currency": "प्रश्न: “{t}” क्षेत्र की मुद्रा का नाम क्या है? उत्तर:",
            "language": "प्रश्न: “{t}” क्षेत्र की आधिकारिक भाषा का नाम क्या है? उत्तर:",
        },
        speakers="क्षेत्र: {t}। भाषा: {l}। बोलने वाले: {p}।",
        next_day="तारीख: {d}। अगला दिन:",
        month="वर्ष और महीना: {m}। शब्दों में:",
        stop="।",
    ),
    "id": Language(
        script="LATIN",
        tell={
            "currency": ("Mata uang wilayah “{t}” bernama “{v}”.", "Wilayah: {t}. Mata uang: {v}."),
            "language": ("Bahasa resmi wilayah “{t}” bernama “{v}”.", "Wilayah: {t}. Bahasa resmi: {v}."),
        },
        ask={
            "currency": "Pertanyaan: Apa nama mata uang wilayah “{t}”? Jawaban:",
            "language": "Pertanyaan: Apa nama bahasa resmi wilayah “{t}”? Jawaban:",
        },
        speakers="Wilayah: {t}. Bahasa: {l}. Penutur: {p}.",
        next_day="Tanggal: {d}. Hari berikutnya:",
        month="Tahun dan bulan: {m}. Ditulis:",
    ),
    "pt": Language(
        script="LATIN",
        tell={
            "currency": ("A moeda do território “{t}” chama-se “{v}”.", "Território: {t}. Moeda: {v}."),
            "language": (
                "A língua oficial do território “{t}” chama-se “{v}”.",
                "Território: {t}. Língua oficial: {v}.",
            ),
        },
        ask={
            "currency": "Pergunta: Como se chama a moeda do território “{t}”? Resposta:",
            "language": "Pergunta: Como se chama a língua oficial do território “{t}”? Resposta:",
        },
        speakers="Território: {t}. Língua: {l}. Falantes: {p}.",
        next_day="Data: {d}. Dia seguinte:",
        month="Ano e mês: {m}. Por extenso:",
    ),
    "vi": Language(
        script="LATIN",
        tell={
            "currency": ("Tiền tệ của lãnh thổ “{t}” có tên là “{v}”.", "Lãnh thổ: {t}. Tiền tệ: {v}."),
            "language": (
                "Ngôn ngữ chính thức của lãnh thổ “{t}” có tên là “{v}”.",
                "Lãnh thổ: {t}. Ngôn ngữ chính thức: {v}.",
            ),
        },
        ask={
            "currency": "Câu hỏi: Tiền tệ của lãnh thổ “{t}” có tên là gì? Trả lời:",
            "language": "Câu hỏi: Ngôn ngữ chính thức của lãnh thổ “{t}” có tên là gì? Trả lời:",
        },
        speakers="Lãnh thổ: {t}. Ngôn ngữ: {l}. Người nói: {p}.",
        next_day="Ngày: {d}. Ngày hôm sau:",
        month="Năm và tháng: {m}. Viết là:",
    ),
    "zh": Language(
        script="CJK",
        tell={
            "currency": ("“{t}”的货币名称是“{v}”。", "地区：{t}。货币：{v}。"),
            "language": ("“{t}”的官方语言名称是“{v}”。", "地区：{t}。官方语言：{v}。"),
        },
        ask={
            "currency": "问题：“{t}”的货币名称是什么？答案：",
            "language": "问题：“{t}”的官方语言名称是什么？答案：",
        },
        speakers="地区：{t}。语言：{l}。使用者：{p}。",
        next_day="日期：{d}。第二天：",
        month="年份和月份：{m}。写作：",
        gap="",
        stop="。",
    ),
}
