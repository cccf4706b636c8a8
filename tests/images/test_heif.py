"""HEIC, read by pi-heif. Nothing that is installed writes it: these files were drawn once, four colors of 96x64 px."""

import base64
import importlib.util
import zlib

import numpy as np
import pytest

from curation.images import Window, decode, read_header
from tests.images.builders import reason_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pi_heif") is None, reason="the extra formats is not installed"
)

PLAIN = (
    "c-muNV30{GsVvAy&8%Pmg51nBLl8SRGck>UfiW~UwIq=N0u(b+a*CjAhJwuG5(YG&l$n#C3}U!AFfalk5HMCkXdu`P#LAhOd1+uC"
    "NK_QaNo9iaGRl$-K}^1a%#vKVlB<~oMFl{5TV_FWK9DX4DsyIJ;Q%t{S%4JDePH<W|Hlso27cxQpbl{dMjpoh|3M0v!77-6N_H_h"
    "Bm(8MoERBVB_^;5C~UgxscL%mfU{#GNK6t$FmfaTm2<c-9xQ6(VNwCwBAlF`Q<RsSQvnp`WngOn3W;PE7o<YHmH@;KKrB#@S&<16"
    "VCLWeIZ-^bAQu*TzyM)sWMXCkG7smbB!U8Oy9VQW&IiZEElcD7|CPA^|Btf2;_sMPPnIR0Z~YYhlXU+7iK6ge?d9A~tZI4@EOVB0"
    "yFNC$Hi_*8^QpoDr!!03Hsq8{U=Dw=K&krKlLDP{yubd+Jw5-wLgxQ(+o=7&?m06oE1G?O&#k$!svc{+@A_UZ43GZ*is8RW{7v(Y"
    "l8?9lzj~Yczs}R?-Ew#RU&U_sWw<{}_s#CFz8>E7tMsDdolSOsi$xw5>7?AW>34UPG0$RoAN?m+`2YaIm7y2"
)
TURNED = (
    "c-muNV30{GsVvAy%}izhg51nBLl8SRGck>UfpKAOYDppk1Sn>t<P<^K3<a6VB@Af5Br_);Y>0~k0}}%yh{bpmLIc50pcoJ^)xkwn"
    "fY>54GcOIy1Ida4IjLY}Ks6a<$%YI_f{Y*~t`(VJ<$ML1CAkbxl?)Fu3yKPW^nuKR<a{7q0o3cv$P5yi09GXTf#J{JA3qov_?Z)c"
    "IwTwzc^Loy2Pt3%sbB^nxm`>Si9kthCq_mznFR)otkYh3YOc#;lH%b237r5D91cl9_3SQ;2a7f+IRLE@PR`FM%1h3v01ERmur&aM"
    "L^6vDQlTDB0Ai3bfr8A6OppLG2M5qJ2F}c){1Tu|3=)|Ixv=17WME`%WMXD%1+t|wi&E2|;(W;|#mV6C1^N7GZb~93BDQKUuIGGk"
    "T->rW{{LTz`~Uwa`z!vAiS=Yz^7+<J;Xg^||DPxd57u7J?Zm347r`=TNw@3coJNf;j883gD5eD|N0|M}pZZIKW8Tl5GTg?^b^Cpc"
    "KmWhSZvXFm*!q9lCu~|dXW94nX3N7pgS3Ud2bbOnz4rfCgZ)|YZ@!OYZOZ=t+8tSce^S8il^0L{n{#pdai;HXR_h+$`+D`!zPTj<"
    "<vRWQV~!dxQFEKEKJmqi#cgjL=Dx1)T~YybI2$BJeSI0UfIJQcMn)k}paVU}2JtTdaJ8^*"
)
DEEP = (
    "c-muNV30{GsVvAy&8%Pmg51nBLl8SRGck>UfiXBYwIq=N0u(b+a*CjAhJwuG5(YG&l$n#C3}U!AFfalk5HOZQXdoyAV&%-tyfiQm"
    "Bq|Ezq%uKy8D+_aASPcyW=Sqw$>q#~q5>ejC9@zoA4r!1l{quAZ~&QecYqYhePH<W_t!5527cxQpbl{dMjpoh|3M0v!77-6N_H_h"
    "Bm(6$ofsKWB^DSovfRvDGHKSc2Z{?0G%zsmG=L;pl7On&T^J7*ZBTLm+98~rpHq~VoKpc5=4D_5s$mexEG|fedMp8mLCORQGAlAc"
    "0?b@oTtG@Zvmh51cEI3ZX=Gw%0WvFdQxZWzm#e|Jp7X)u<~e(x|NnP;`TzejoS)cF*>uY5i@#lDp8ds$|9|r@><V6REGay=Mfl{e"
    "Bk7Yj8UO#kgLUIy>$v#8ELlOVn=bzk%Xa_eleMoh;Y<7@o(+uWSJ`*2>HqNK#jpG6Kl3fsUf<<6c_uMe_XYri9)%k"
)


def unpack(text):
    """Return the file in a text."""
    return zlib.decompress(base64.b85decode(text))


def quadrants():
    """Return what was drawn."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48], image[:32, 48:] = (200, 30, 30), (30, 180, 40)
    image[32:, :48], image[32:, 48:] = (40, 60, 220), (230, 220, 60)
    return image


def test_a_heic_is_read_upright():
    """In 8 and in 10 bits; one that a phone was turned for is turned once."""
    for text, bits, expected in (
        (PLAIN, 8, quadrants()),
        (DEEP, 10, quadrants()),
        (TURNED, 8, np.rot90(quadrants(), -1)),
    ):
        image = decode(unpack(text))
        assert (image.header.format, image.header.bits, image.header.pages) == ("heif", bits, 1)
        assert np.abs(image.pixels.astype(int) - expected).mean() < 3
        assert read_header(unpack(text)) == image.header
    assert decode(unpack(DEEP), tone=Window(0, 1)).pixels.min() == 255


@pytest.mark.parametrize("text", [PLAIN, TURNED, DEEP])
def test_a_cut_heic_is_truncated(text):
    """Its boxes state their lengths."""
    content = unpack(text)
    for length in (len(content) // 2, len(content) - 1):
        assert reason_of(content[:length]) == ("truncated", None)
    assert reason_of(content, page=2) == ("missing-page", "2 of 1")
    assert reason_of(content, max_pixels=1000)[0] == "decompression-bomb"
