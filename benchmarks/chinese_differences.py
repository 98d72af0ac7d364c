"""Where Mandarin and Cantonese are deliberately read otherwise than by GPT-SoVITS, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """What `pattern` finds in a printed text may be read otherwise.

    `examples` are printed texts with the characters that are said for them.
    """

    pattern: str
    reason: str
    examples: tuple[tuple[str, str], ...]


CHINESE_DIFFERENCES = (
    Difference(
        r"-?[0-9.,]+[%度℃]?(?:[-~]-?[0-9.,]+)+",
        "a hyphen between digits parts a telephone number, or is 到 (a range) or 比 (a score); "
        "it is a minus in sums only",
        (
            ("电话是010-12345678。", "电话是零幺零,幺二三四五六七八."),
            ("拨400-123-4567。", "拨四零零,幺二三,四五六七."),
            ("从100-200元不等", "从一百到二百元不等"),
            ("第3-5章", "第三到五章"),
            ("1998-2005年", "一九九八到二零零五年"),
            ("以3-2获胜", "以三比二获胜"),
            ("涨10%-20%", "涨百分之十到百分之二十"),
            ("15-20℃", "十五到二十度"),
            ("3-2=1", "三减二等于一"),
        ),
    ),
    Difference(
        r"-[0-9]*",
        "a hyphen that is not between numbers is no minus",
        (("汉语 - 百科", "汉语,百科"), ("B-52", "五十二"), ("5月1日-5月3日", "五月一日到五月三日")),
    ),
    Difference(
        r".?[0-9]{1,3}(?:,[0-9]{3})+",
        "thousands marks are part of their number",
        (("共计1,234,567元。", "共计一百二十三万四千五百六十七元."),),
    ),
    Difference(
        r"(?:US|HK)?[$€£￥¥]\s?[0-9.,]*",
        "the currency is said behind its amount",
        (("$100和￥100", "一百美元和一百元"), ("€2.5万", "二点五万欧元"), ("￥50元", ",五十元")),
    ),
    Difference(
        r".?(?:[—–]+|\n).?",
        "a dash and a new line are a pause",
        (
            ("等等——别走", "等等,别走"),
            ("第一行\n第二行", "第一行,第二行"),
            ("完了。\n好", "完了.好"),
        ),
    ),
    Difference(
        r"[0-9]+:[0-9]+(?:[-~][0-9]+:[0-9]+)?|[:;]",
        "a colon and a semicolon of half width are a pause behind a Chinese character, and 比 "
        "between numbers that are no time; half past is said for the end of a range as for a time",
        (
            ("时间:今天", "时间,今天"),
            ("比例是16:9", "比例是十六比九"),
            ("8:30-12:45", "八点半至十二点四十五分"),
        ),
    ),
    Difference(
        r"[第初]2|(?<![0-9])2(?:[月日两手线世点]|年级)",
        "2 is 二 in ordinals and dates and before 两, and 两 before 点",
        (
            ("第2个", "第二个"),
            ("2月2日", "二月二日"),
            ("2两酒", "二两酒"),
            ("2年级", "二年级"),
            ("下午2点", "下午两点"),
        ),
    ),
    Difference(
        r"[0-9]+年",
        "a length of time in years is an amount, a decade of two digits as well",
        (
            ("20年前", "二十年前"),
            ("90年代", "九十年代"),
            ("100年的历史", "一百年的历史"),
            ("98年夏天", "九八年夏天"),
        ),
    ),
    Difference(
        r"[0-9]+(?:公里|公斤|公顷|公升|公尺|克|升|倍|种|笔|遍|步|蚊|次|点|英镑|欧元|日元|港元)",
        "a number before any measure word is an amount",
        (
            ("120公里", "一百二十公里"),
            ("110000步", "十一万步"),
            ("128蚊", "一百二十八蚊"),
            ("2次", "两次"),
        ),
    ),
    Difference(
        r"第[0-9]{3,}",
        "ordinals are amounts",
        (("第100课第101", "第一百课第一百零一"),),
    ),
    Difference(
        r"[0-9.]*[A-Za-z]+[²³23]?",
        "units are read behind numbers only, each as itself",
        (
            ("50mm", "五十毫米"),
            ("500g", "五百克"),
            ("60km/h", "六十千米每小时"),
            ("words", ""),
        ),
    ),
    Difference(
        r"[0-9.]+[‰％]|-[0-9]+\.[0-9]+",
        "per mille and wide signs are known; a negative number may have decimals",
        (("3‰", "千分之三"), ("2.5％", "百分之二点五"), ("-1.5", "负一点五")),
    ),
    Difference(
        r"[0-9.]+(?:[-+×÷=][0-9.]+)+",
        "numbers in sums are amounts",
        (("100+200=300", "一百加二百等于三百"),),
    ),
    Difference(
        r"/",
        "a slash is 每 behind an amount only",
        (("和/或", "和,或"), ("50元/斤", "五十元每斤")),
    ),
    Difference("〇", "〇 is 零", (("二〇二四年", "二零二四年"),)),
    Difference(
        r"[，、：；,][^，、：；,]*[\^￥]|[\^￥][^，、：；,]*[，、：；,]",
        "a sign that stands for a pause (SP2, SP3) changes no comma",
        (("对^错,好", "对,错,好"),),
    ),
)
