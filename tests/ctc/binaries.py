"""The bigrams of `spoken` as binaries, by `build_binary probing` and `build_binary trie` of KenLM.

Their words are at the end of the file, as `build_binary` leaves them there.
"""

import base64
import zlib

_PROBING = (
    "c-qU&O)OBz$yLZGDJihh*U!#KO-##7%}LQq&d=3P&QD2INXswEO)OC;OD!tS%+FIW<zhg9274f}pAks>2Lg}?BUF"
    "Y7OdhaD7GsCftPH4todGxC%K84Ww)jCd6PoxV?%&JR-TvNV1F{9PvoBu~7iVV%vhP>1cK_2BJ&0~cL7n1W%eGRmT"
    "Yg*&{<o=hUlI$%5Bos`h&5~G%zbHTX&^T@%$g}_fA);eJ|G728-R4r{<CM!>;<ZUs|Nv&PfQst8;ylQ;jpInwg_`"
    "#+8SeH<Ndh&W0!D8bwO;Z0?2I5HuDR64mAVWXZAG~z5P&IUDFD3gH35(wjF~_F%atmiA09PB!;9!hCCnz0Ar48xB"
)
_TRIE = (
    "c-qU&O)OBz$yLZGDJihh*U!#KO-##7%}LQq&d=3P&QD2INXswEO)OC;OD!tS%+FIW<zhg9274f}pAks>2Lg}?BUF"
    "Y7Odhajf{KAKJ5-Jp$pkhiT~MdE*RrjYK`=Y}@+EO`_8%96|7~jBm&BFx{bOzMgY5fNtlj^#MGrpW{=Hn??e9G#H"
    "|z%yNJcWunmKbHf-SlK>=_?8AIJu(Z`j8K<)@{kf%UV%<$HkY&+KJIm<5(cb~Cykkio?>XTId7r9D#z>WQB{b7oC"
    ";TG}^8WED20dD(UhHpO-fi42KJ3^w{eR#GBE9*_+H@pM~`"
)

PROBING, TRIE = (zlib.decompress(base64.b85decode(each)) for each in (_PROBING, _TRIE))
