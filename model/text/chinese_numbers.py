"""How Chinese says numbers: amounts, digit by digit, dates, times, measures and money."""

from model.text.optional import optional_module

_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_LONGEST = 16  # digits: larger amounts have no common name


def digits(printed: str, one: str = "一") -> str:
    """Digits one by one; `one` is 幺 in telephone numbers and codes."""
    return "".join(_DIGITS[digit] for digit in printed).replace("一", one)


def cardinal(printed: str) -> str:
    """An amount in digits, without sign or point: "20004" is 二万零四."""
    amount = printed.replace(",", "").lstrip("0")
    if not amount or len(amount) > _LONGEST:
        return digits(amount) or "零"
    said: str = optional_module("cn2an", "chinese").an2cn(amount, "low")
    return said


def decimal(printed: str) -> str:
    """An amount that may have a point and thousands marks: "3.14" is 三点一四.

    Of zeros at its end one is said: "2.500" is 二点五零.
    """
    whole, _, part = printed.partition(".")
    if not part:
        return cardinal(whole)
    kept = part.rstrip("0")
    return f"{cardinal(whole)}点{digits(kept if kept == part else kept + '0')}"


def time_of_day(hour: str, minute: str, second: str = "", half: bool = True) -> str:
    """ "18:30" is 十八点半, or 十八点三十分 where `half` is False."""
    said = f"{cardinal(hour)}点"
    if minute == "30" and half:
        said += "半"
    elif int(minute):
        said += f"{_two_digits(minute)}分"
    return said + (f"{_two_digits(second)}秒" if second and int(second) else "")


def _two_digits(printed: str) -> str:
    return ("零" if printed.startswith("0") else "") + cardinal(printed)


UNITS = {
    "mm": "毫米", "cm": "厘米", "dm": "分米", "m": "米", "km": "千米", "nm": "纳米", "μm": "微米",
    "mm2": "平方毫米", "cm2": "平方厘米", "m2": "平方米", "km2": "平方千米",
    "mm3": "立方毫米", "cm3": "立方厘米", "m3": "立方米",
    "mg": "毫克", "g": "克", "kg": "千克", "t": "吨",
    "ml": "毫升", "mL": "毫升", "l": "升", "L": "升",
    "s": "秒", "ms": "毫秒", "ds": "毫秒", "min": "分钟", "h": "小时", "db": "分贝", "dB": "分贝",
    "Hz": "赫兹", "kHz": "千赫", "MHz": "兆赫", "GHz": "吉赫",
    "W": "瓦", "kW": "千瓦", "kWh": "千瓦时", "V": "伏", "mAh": "毫安时",
    "℃": "度", "°C": "度", "°": "度", "°F": "华氏度", "℉": "华氏度", "摄氏度": "摄氏度", "度": "度",
}  # fmt: skip
TEMPERATURES = frozenset({"℃", "°C", "℉", "°F", "摄氏度", "度"})

CURRENCIES = {"$": "美元", "US$": "美元", "€": "欧元", "£": "英镑", "￥": "元", "HK$": "港元"}

# What is counted or measured: a number in front of one of these is an amount, and 2 is 两.
_COUNTED = (
    "处台架枚趟幅平方堵间床株批项例列篇栋注亩封艘把目套段人所朵匹张座回场尾条个首阙阵网炮顶丘棵只支"
    "袭辆挑担颗壳窠曲墙群腔砣客贯扎捆刀令打手罗坡山岭江溪钟队单双对出口头脚板跳枝件贴针线管名位身堂"
    "课本页家户层丝毫厘分钱两斤铢石钧锱忽寸尺丈里寻常铺程米撮勺合升斗盘碗碟叠桶笼盆盒杯斛锅簋篮罐瓶"
    "壶卮盏箩箱煲啖袋钵月日季刻时周天秒旬纪岁世更夜春夏秋冬代伏辈丸泡粒幢堆根道面片块元角毛吨万亿"
    "百千克倍种笔遍步蚊"
)
_COUNTED_WORDS = (
    "公里|公斤|公分|公顷|公升|公尺|小时|[千毫微]克|[千分厘毫微]米|毫升|美元|欧元|英镑|日元|港元"
)
MEASURE = rf"(?:{_COUNTED_WORDS}|次(?!方)|年(?!级)|点(?![0-9])|[{_COUNTED}])"
# Behind these, 2 stays 二: ordinals, months, days, centuries, and the weight 两.
NOT_LIANG = frozenset("月日两手线世")
