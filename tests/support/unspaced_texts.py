"""Texts of personas who write without spaces, in our own words: sentences put together so that no two texts are alike."""

import random

_JAPANESE = (
    ["朝の六時に", "霧の深い夜に", "火曜日になると", "潮が引いたあとで", "冬の終わりに", "誰もいない事務所で", "船が出る前に", "十年ぶりに", "警報が鳴ったとき", "風向きが変わると"],
    ["船長のアウドさんは", "若い機関士は", "私は", "港の係員は", "島の学校の先生は", "台所の料理人は", "灯台守の娘は", "印刷所の主人は"],
    ["古い時刻表を", "潮位計の記録を", "二十八行の検査プログラムを", "切符の入った箱を", "データベースの予備を", "間違えた日付を", "北の桟橋の綱を", "乗客の名簿を", "壊れた時計の針を", "航海日誌の続きを"],
    ["静かに読み直した。", "何も言わずに直している。", "机の上に並べて笑った。", "信用しないことに決めた。", "もう一度最初から数える。", "海図の隣に貼っておいた。", "台帳と比べてから返した。", "隠さずに書き残すつもりだ。", "「また変わった」と言って閉じた。"],
)  # fmt: skip
_THAI = (
    ["ตอนหกโมงเช้า", "ในคืนที่หมอกหนา", "พอถึงวันอังคาร", "หลังน้ำลง", "ปลายฤดูหนาว", "ก่อนเรือออก", "เมื่อสัญญาณเตือนดัง", "ตอนลมเปลี่ยนทิศ"],
    ["กัปตัน", "ช่างเครื่องหนุ่ม", "ฉัน", "เจ้าหน้าที่ท่าเรือ", "ครูบนเกาะ", "พ่อครัวในเรือ", "ลูกสาวคนเฝ้าประภาคาร"],
    ["อ่านตารางเวลาเล่มเก่า", "แก้โปรแกรมตรวจสอบยี่สิบแปดบรรทัด", "นับตั๋วในกล่อง", "กู้คืนฐานข้อมูลสำรอง", "ตรวจเข็มนาฬิกาที่เสีย", "เขียนสมุดบันทึกการเดินเรือ", "เทียบรายชื่อผู้โดยสาร"],
    ["อย่างเงียบๆ", "โดยไม่พูดอะไรเลย", "แล้วก็หัวเราะ", "อีกครั้งตั้งแต่ต้น", "จนกว่าจะเชื่อได้", "พร้อมกับซุปร้อนๆ", "โดยไม่ปิดบังใคร"],
)  # fmt: skip


def japanese(sentences: int, seed: int = 0) -> str:
    """So many sentences in paragraphs of four, without a space."""
    return _text(_JAPANESE, sentences, seed, "")


def thai(sentences: int, seed: int = 0) -> str:
    """So many sentences in paragraphs of four, with the space that Thai puts between them."""
    return _text(_THAI, sentences, seed, " ")


def _text(parts: tuple[list[str], ...], sentences: int, seed: int, between: str) -> str:
    rng = random.Random(seed)
    made = ["".join(rng.choice(part) for part in parts) for _ in range(sentences)]
    return "\n\n".join(between.join(made[i : i + 4]) for i in range(0, sentences, 4))
