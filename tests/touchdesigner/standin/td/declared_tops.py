"""Built-in parameters of TOPs, from the pages of the operators.

Reorder TOP: its page names no menu entries; these are those that are known to work: four
inputs, four channels, one and zero.
"""

from __future__ import annotations

FORMATS = """useinput rgba8fixed srgba8fixed rgba16float rgba32float rgb10a2fixed rgba16fixed
rgba11float rgb16float rgb32float mono8fixed mono16fixed mono16float mono32float rg8fixed
rg16fixed rg16float rg32float a8fixed a16fixed a16float a32float monoalpha8fixed
monoalpha16fixed monoalpha16float monoalpha32float""".replace("\n", " ")

COMMON = f"""
outputresolution Menu | useinput eighth quarter half 2x 4x 8x fit limit custom
resolution/w,h Int 256
resmenu Pulse
resmult Toggle 1
outputaspect Menu | useinput resolution custom
aspect/1,2 Float 1
armenu Pulse
inputfiltertype Menu linear | nearest linear mipmap
fillmode Menu | useinput fill width height best outside nativeres
filtertype Menu linear | nearest linear mipmap
npasses Int 1
chanmask Int 15
format Menu | {FORMATS}
"""

LABELLED = "label Str"

REORDER = "\n".join(
    f"output{channel} Menu | input1 input2 input3 input4\n"
    f"output{channel}chan Menu {channel} | red green blue alpha one zero"
    for channel in ("red", "green", "blue", "alpha")
)

MULTIPLY = """
size Menu | input1 input2
prefit Menu | fill fithorz fitvert fitbest fitoutside nativeres
justifyh Menu center | left center right
justifyv Menu center | bottom center top
extend Menu zero | hold zero repeat mirror
r Float 0
t/x,y Float 0
tunit Menu fraction | pixels fraction fractionaspect
s/x,y Float 1
p/x,y Float 0.5
punit Menu fraction | pixels fraction fractionaspect
legacyxform Toggle 0
"""

CONSTANT = """
color/r,g,b Float 1
alpha Float 1
multrgbbyalpha Toggle 0
rgbaunit Menu | u1 u256 u65536
"""

RECTANGLE = """
size/x,y Float 0.5
center/x,y Float 0
fillcolor/r,g,b Float 1
fillalpha Float 1
bgcolor/r,g,b Float 0
bgalpha Float 0
antialias Toggle 1
"""

SCRIPT = """
callbacks DAT
setuppars Pulse
"""

SHARED_OUT = """
active Toggle 1
name Str
memtype Menu | local global
downloadtype Menu nextframe | immediate nextframe
"""

SHARED_IN = """
name Str
memtype Menu | local global
"""

SWITCH = """
index Float 0
blend Toggle 0
"""

SELECT = "top TOP"

MODIFY_OUTSIDE = "modoutsidecook Toggle 0"
"""Script TOP and Script CHOP, builds of 2025."""

SWITCH_EXTEND = "extend Menu | clamp loop zigzag"
"""Switch TOP, builds of 2025."""

TOPS: dict[str, str] = {
    "inTOP": LABELLED,
    "outTOP": LABELLED,
    "nullTOP": "",
    "resolutionTOP": "highqualresize Toggle 0",
    "scriptTOP": SCRIPT,
    "reorderTOP": REORDER,
    "multiplyTOP": MULTIPLY,
    "switchTOP": SWITCH,
    "selectTOP": SELECT,
    "constantTOP": CONSTANT,
    "rectangleTOP": RECTANGLE,
    "sharedmemoutTOP": SHARED_OUT,
    "sharedmeminTOP": SHARED_IN,
}
