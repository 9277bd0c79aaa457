"""Languages as callers write them → ISO 639 codes: `eng`, `en-US` and `English` are `en`.

The table is that of ISO 639-2 (Library of Congress): two-letter code, three-letter codes, English names. Languages
without a two-letter code keep their three letters.
"""

import re
from collections.abc import Iterator

AUTO = "auto"
"""Spelling of "detect the language"."""
EXAMPLES = ("en", "eng", "en-US", "English", AUTO)

_TABLE = """
aa aar: Afar
ab abk: Abkhazian
ae ave: Avestan
af afr: Afrikaans
ak aka: Akan
am amh: Amharic
an arg: Aragonese
ar ara: Arabic
as asm: Assamese
av ava: Avaric
ay aym: Aymara
az aze: Azerbaijani
ba bak: Bashkir
be bel: Belarusian
bg bul: Bulgarian
bi bis: Bislama
bm bam: Bambara
bn ben: Bengali, Bangla
bo bod tib: Tibetan
br bre: Breton
bs bos: Bosnian
ca cat: Catalan, Valencian
ce che: Chechen
ch cha: Chamorro
co cos: Corsican
cr cre: Cree
cs ces cze: Czech
cu chu: Church Slavic, Old Church Slavonic
cv chv: Chuvash
cy cym wel: Welsh
da dan: Danish
de deu ger: German
dv div: Divehi, Dhivehi, Maldivian
dz dzo: Dzongkha
ee ewe: Ewe
el ell gre: Greek
en eng: English
eo epo: Esperanto
es spa: Spanish, Castilian
et est: Estonian
eu eus baq: Basque
fa fas per: Persian, Farsi
ff ful: Fulah
fi fin: Finnish
fj fij: Fijian
fo fao: Faroese
fr fra fre: French
fy fry: Western Frisian, Frisian
ga gle: Irish
gd gla: Gaelic, Scottish Gaelic
gl glg: Galician
gn grn: Guarani
gu guj: Gujarati
gv glv: Manx
ha hau: Hausa
he heb: Hebrew
hi hin: Hindi
ho hmo: Hiri Motu
hr hrv: Croatian
ht hat: Haitian Creole, Haitian
hu hun: Hungarian
hy hye arm: Armenian
hz her: Herero
ia ina: Interlingua
id ind: Indonesian
ie ile: Interlingue, Occidental
ig ibo: Igbo
ii iii: Sichuan Yi, Nuosu
ik ipk: Inupiaq
io ido: Ido
is isl ice: Icelandic
it ita: Italian
iu iku: Inuktitut
ja jpn: Japanese
jv jav: Javanese
ka kat geo: Georgian
kg kon: Kongo
ki kik: Kikuyu, Gikuyu
kj kua: Kuanyama, Kwanyama
kk kaz: Kazakh
kl kal: Kalaallisut, Greenlandic
km khm: Khmer
kn kan: Kannada
ko kor: Korean
kr kau: Kanuri
ks kas: Kashmiri
ku kur: Kurdish
kv kom: Komi
kw cor: Cornish
ky kir: Kyrgyz, Kirghiz
la lat: Latin
lb ltz: Luxembourgish, Letzeburgesch
lg lug: Ganda
li lim: Limburgan, Limburger, Limburgish
ln lin: Lingala
lo lao: Lao
lt lit: Lithuanian
lu lub: Luba-Katanga
lv lav: Latvian
mg mlg: Malagasy
mh mah: Marshallese
mi mri mao: Maori
mk mkd mac: Macedonian
ml mal: Malayalam
mn mon: Mongolian
mr mar: Marathi
ms msa may: Malay
mt mlt: Maltese
my mya bur: Burmese, Myanmar
na nau: Nauru
nb nob: Norwegian Bokmål, Bokmål
nd nde: North Ndebele
ne nep: Nepali
ng ndo: Ndonga
nl nld dut: Dutch, Flemish
nn nno: Norwegian Nynorsk, Nynorsk
no nor: Norwegian
nr nbl: South Ndebele
nv nav: Navajo, Navaho
ny nya: Chichewa, Chewa, Nyanja
oc oci: Occitan, Provençal
oj oji: Ojibwa
om orm: Oromo
or ori: Oriya, Odia
os oss: Ossetian, Ossetic
pa pan: Punjabi, Panjabi
pi pli: Pali
pl pol: Polish
ps pus: Pashto, Pushto
pt por: Portuguese
qu que: Quechua
rm roh: Romansh
rn run: Rundi
ro ron rum: Romanian, Moldavian, Moldovan
ru rus: Russian
rw kin: Kinyarwanda
sa san: Sanskrit
sc srd: Sardinian
sd snd: Sindhi
se sme: Northern Sami
sg sag: Sango
si sin: Sinhala, Sinhalese
sk slk slo: Slovak
sl slv: Slovenian, Slovene
sm smo: Samoan
sn sna: Shona
so som: Somali
sq sqi alb: Albanian
sr srp: Serbian
ss ssw: Swati
st sot: Southern Sotho, Sotho
su sun: Sundanese
sv swe: Swedish
sw swa: Swahili, Kiswahili
ta tam: Tamil
te tel: Telugu
tg tgk: Tajik
th tha: Thai
ti tir: Tigrinya
tk tuk: Turkmen
tl tgl: Tagalog, Filipino
tn tsn: Tswana
to ton: Tongan, Tonga
tr tur: Turkish
ts tso: Tsonga
tt tat: Tatar
tw twi: Twi
ty tah: Tahitian
ug uig: Uyghur, Uighur
uk ukr: Ukrainian
ur urd: Urdu
uz uzb: Uzbek
ve ven: Venda
vi vie: Vietnamese
vo vol: Volapük
wa wln: Walloon
wo wol: Wolof
xh xho: Xhosa
yi yid: Yiddish
yo yor: Yoruba
za zha: Zhuang, Chuang
zh zho chi: Chinese, Mandarin
zu zul: Zulu
"""
_OTHERS = """
ace ach ada ady afa afh ain akk ale alg alt ang anp apa arc arn arp art arw ast ath aus awa bad bai bal ban bas bat
bej bem ber bho bik bin bla bnt bra btk bua bug byn cad cai car cau ceb cel chb chg chk chm chn cho chp chr chy cmc
cnr cop cpe cpf cpp crh crp csb cus dak dar day del den dgr din doi dra dsb dua dum dyu efi egy eka elx enm ewo fan
fat fil fiu fon frm fro frr frs fur gaa gay gba gem gez gil gmh goh gon gor got grb grc gsw gwi hai haw hil him hit
hmn hsb hup iba ijo ilo inc ine inh ira iro jbo jpr jrb kaa kab kac kam kar kaw kbd kha khi kho kmb kok kos kpe krc
krl kro kru kum kut lad lah lam lez lol loz lua lui lun luo lus mad mag mai mak man map mas mdf mdr men mga mic min
mkh mnc mni mno moh mos mun mus mwl mwr myn myv nah nai nap nds new nia nic niu nog non nqo nso nub nwc nym nyn nyo
nzi osa ota oto paa pag pal pam pap pau peo phi phn pon pra pro raj rap rar roa rom rup sad sah sai sal sam sas sat
scn sco sel sem sga sgn shn sid sio sit sla sma smi smj smn sms snk sog son srn srr ssa suk sus sux syc syr tai tem
ter tet tig tiv tkl tlh tli tmh tog tpi tsi tum tup tut tvl tyv udm uga umb vai vot wak wal war was wen xal yao yap
ypk zap zbl zen zgh znd zun zza
yue
"""
_ALIASES = {
    "arb": "ar", "cantonese": "yue", "cmn": "zh", "fil": "tl", "in": "id", "iw": "he", "ji": "yi", "jw": "jv",
    "mo": "ro", "pes": "fa", "swh": "sw",
}  # fmt: skip
"""Retired codes, codes of a variety that is the language itself, and codes that Whisper uses."""
_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]{1,8}){0,8}(?:[.@][a-z0-9-]{1,12})?")
"""Language tag (BCP 47) or locale (POSIX), such as `zh-Hans-CN` and `en_US.UTF-8`, in lower case."""


def _spellings() -> Iterator[tuple[str, str]]:
    for row in _TABLE.strip().splitlines():
        codes, _, names = row.partition(": ")
        code = codes[:2]
        yield from ((spelling, code) for spelling in (*codes.split(), *names.casefold().split(", ")))
    yield from ((code, code) for code in _OTHERS.split())
    yield from _ALIASES.items()


_CODES = dict(_spellings())
_NAMES = {row[:2]: row.partition(": ")[2].split(", ")[0] for row in _TABLE.strip().splitlines()}


def find_language(text: str) -> str | None:
    """Return the ISO 639 code of a language given by code, tag, locale or English name; None if there is no such
    language. Upper and lower case do not matter."""
    spelling = " ".join(text.casefold().split())
    if spelling in _CODES:
        return _CODES[spelling]
    tag = _TAG.fullmatch(spelling)
    return _CODES.get(tag[1]) if tag else None


def language_name(text: str) -> str | None:
    """Return the English name of a language that `find_language` finds, or None if it is a rare one without a name."""
    return _NAMES.get(find_language(text) or "")


def parse_language(text: str | None) -> str | None:
    """Return the ISO 639 code of a caller's language, or None if it is to be detected. Raises ValueError."""
    if text is None or text.strip().casefold() == AUTO:
        return None
    code = find_language(text)
    if code is None:
        raise ValueError('not a language: use an ISO 639 code such as "en", a name such as "English", or "auto"')
    return code
