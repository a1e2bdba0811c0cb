"""Built-in parameters of CHOPs, DATs and COMPs, from the pages of the operators.

Execute DATs: which of their events are on at first is not documented; here none is, and a
Parameter Execute DAT watches built-in parameters unless told not to.
"""

from __future__ import annotations

CHOP_COMMON = """
timeslice Toggle 0
scope Str *
srselect Menu | first max min err
exportmethod Menu | datindex datname autoname
autoexportroot OP
exporttable DAT
"""

RENAME = """
commonrenamefrom Str *
commonrenameto Str
"""

CONSTANT_CHOP = """
const0name Str
const0value Float 0
snap Pulse
first Int 0
current Toggle 0
single Toggle 1
start Float 0
end Float 0
rate Float 60
defval Float 0
"""

NULL_CHOP = f"""
cooktype Menu | auto always selective
checkvalues Toggle 1
checknames Toggle 1
checkrange Toggle 1
{RENAME.strip()}
"""

CHOPS: dict[str, str] = {
    "scriptCHOP": "callbacks DAT\nsetuppars Pulse",
    "nullCHOP": NULL_CHOP,
    "inCHOP": "label Str\n" + RENAME.strip(),
    "outCHOP": "label Str\n" + RENAME.strip(),
    "constantCHOP": CONSTANT_CHOP,
}

DAT_COMMON = """
language Menu node | input node
extension Menu | dat language custom
customext Str
wordwrap Menu | input on off
"""

FILE = """
edit Pulse
file File
syncfile Toggle 0
loadonstart Toggle 0
write Toggle 0
"""

FILE_PULSES = """
loadonstartpulse Pulse
writepulse Pulse
"""

EXECUTE = f"""
active Toggle 1
executeloc Menu here | current here op
fromop OP
start Toggle 0
create Toggle 0
exit Toggle 0
framestart Toggle 0
frameend Toggle 0
playstatechange Toggle 0
devicechange Toggle 0
{FILE.strip()}
{FILE_PULSES.strip()}
"""

PARAMETER_EXECUTE = f"""
active Toggle 1
executeloc Menu here | current here op
fromop OP
op OP
pars Str
valuechange Toggle 0
valueschanged Toggle 0
onpulse Toggle 0
expressionchange Toggle 0
exportchange Toggle 0
enablechange Toggle 0
modechange Toggle 0
custom Toggle 0
builtin Toggle 1
{FILE.strip()}
{FILE_PULSES.strip()}
"""

RECEIVED = """
callbacks DAT
executeloc Menu callbacks | current callbacks op
fromop OP
clamp Toggle 1
maxlines Int 100
clear Pulse
"""

OSC_IN = f"""
active Toggle 1
protocol Menu | msging multicastmsging reliablemsging
address Str
port Int 10000
localaddress Str
shared Toggle 0
addscope Str *
typetag Toggle 0
splitbundle Toggle 1
splitmessage Toggle 0
bundletimestamp Toggle 0
{RECEIVED.strip()}
bytes Toggle 0
"""

TABLE = f"""
{FILE.strip()}
defaultreadencoding Menu | manual utf8 utf16le utf16be cp1252
removeblank Toggle 0
fill Menu | manual setsize setsizeandcontents fillbycol fillbyrow
rows Int 1
cols Int 1
cellexpr Str
includenames Toggle 0
"""

DATS: dict[str, str] = {
    "textDAT": FILE.strip() + "\n" + FILE_PULSES.strip(),
    "tableDAT": TABLE,
    "fifoDAT": RECEIVED.strip() + "\nfirstrow Toggle 0",
    "executeDAT": EXECUTE,
    "parameterexecuteDAT": PARAMETER_EXECUTE,
    "oscinDAT": OSC_IN,
    "inDAT": "label Str",
    "outDAT": "label Str",
    "nullDAT": "",
}

COMP_COMMON = """
reinitextensions Pulse
initextonstart Toggle 0
ext0object Str
ext0name Str
ext0promote Toggle 0
parentshortcut Str
opshortcut Str
iop0shortcut Str
iop0op OP
opviewer OP
enablecloning Toggle 1
enablecloningpulse Pulse
clone COMP
loadondemand Toggle 0
enableexternaltox Toggle 0
enableexternaltoxpulse Pulse
externaltox File
reloadcustom Toggle 1
reloadbuiltin Toggle 1
savebackup Toggle 1
subcompname Str
relpath Menu | inherit project externaltox
"""

COMPS: dict[str, str] = {"baseCOMP": "", "containerCOMP": ""}
