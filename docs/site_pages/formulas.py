"""Formulas of docstrings, such as ``p <- p - lr * m / (sqrt(v) + eps)``, as LaTeX."""

import re

GREEK = {"alpha", "beta", "delta", "epsilon", "eta", "gamma", "mu", "rho", "sigma", "tau"}
NAMES = {"eps": r"\epsilon", "lambd": r"\lambda", "inf": r"\infty", "pi": r"\pi"}
CONDITIONS = ("if", "where", "for")
FUNCTIONS = {"exp", "log", "max", "min", "tanh"}  # that LaTeX knows
SIGNS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "<-": r"\leftarrow", "*": r"\,", "...": r"\ldots"}
TOKEN = re.compile(r"\s*(\d+\.?\d*(?:e-?\d+)?|[A-Za-z]\w*?_t\+1|[A-Za-z]\w*|\*\*|<-|<=|>=|!=|\.\.\.|[-+*/()\[\]|,=<>])")
RELATIONS = ("<-", "=", "<", ">", "<=", ">=", "!=")


def block(lines):
    """Return the LaTeX of a block of formulas, a line each, or None if one is no formula."""
    rows = []
    for line in lines:
        label, text = re.fullmatch(r"(\w[\w ]*:\s+)?(.*)", line.strip()).groups()
        text, *notes = re.split(r"\s{3,}|,\s{2,}", text)
        found = formula(text)
        if found is None:
            return None
        label = words(label.strip() + " ") if label else ""
        rows.append(f"{label}&{found}" + "".join(r"\qquad " + (("=" in note and formula(note)) or words(note)) for note in notes))
    return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"


def formula(text, names=None):
    """Return the LaTeX of one formula, or None if it is none; `names` are the words that may be variables."""
    try:
        return Parser(text, names).whole()
    except (IndexError, ValueError):
        return None


def words(text):
    """Return the LaTeX of a remark."""
    return rf"\text{{{escaped(text)}}}"


def escaped(text):
    """Return a text as LaTeX shows it."""
    return re.sub(r"([_%#&{}$])", r"\\\1", text)


class Parser:
    """A parser of sums, products (also without a sign), powers, calls, relations and choices."""

    def __init__(self, text, names):
        self.tokens, self.names, place = [], names, 0
        while place < len(text.rstrip()):
            found = TOKEN.match(text, place)
            if found is None:
                raise ValueError(text)
            self.tokens.append(found[1])
            place = found.end()
        self.tokens.append("")
        self.place = 0

    def whole(self):
        """Return the LaTeX of all tokens."""
        found = self.choice()
        if self.tokens[self.place]:
            raise ValueError(self.tokens)
        return found

    def choice(self):
        """Read a value, or values with conditions: a if b, c if d, else e."""
        found = [(self.relation(), "")]
        while self.took(*CONDITIONS):
            found[-1] = found[-1][0], r"\text{if } " + self.relation()
            if not self.took(","):
                break
            other = r"\text{else}" if self.took("else") else ""
            found.append((self.relation(), other))
        if len(found) == 1:
            return " ".join(found[0]).strip()
        rows = r" \\ ".join(" & ".join(row) for row in found)
        return rf"\begin{{cases}} {rows} \end{{cases}}"

    def next(self):
        self.place += 1
        return self.tokens[self.place - 1]

    def took(self, *signs):
        """Return the next token if it is one of these, and go on."""
        return self.next() if self.tokens[self.place] in signs else ""

    def relation(self):
        parts = [] if self.tokens[self.place] in RELATIONS else [self.sum()]
        while sign := self.took(*RELATIONS):
            parts += [SIGNS.get(sign, sign), self.sum()]
        return " ".join(parts)

    def sum(self):
        parts = [self.took("-", "+") + self.product()]
        while sign := self.took("+", "-"):
            parts += [sign, self.product()]
        return " ".join(parts)

    def product(self):
        found = self.power()
        while True:
            if self.took("/"):
                found = rf"\frac{{{_bare(found)}}}{{{_bare(self.power())}}}"
            elif self.took("*") or self.is_next_factor():
                found = rf"{found} \, {self.power()}"
            else:
                return found

    def is_next_factor(self):
        token = self.tokens[self.place]
        return bool(re.match(r"[\w(.]", token)) and token not in (*CONDITIONS, "else")

    def power(self):
        base = self.atom()
        if self.took("**"):
            sign = self.took("-")
            return f"{{{base}}}^{{{sign}{_bare(self.atom())}}}"
        return base

    def atom(self):
        token = self.next()
        if token == "(":
            return self.closed(self.choice, r"\left(", r"\right)", ")")
        if token == "|":
            return self.closed(self.sum, r"\left|", r"\right|", "|")
        if token == "...":
            return r"\ldots"
        if token == "sum":
            return rf"\sum {self.product()}"
        if token == "sqrt" and self.took("("):
            return self.closed(self.sum, r"\sqrt{", "}", ")")
        if not re.match(r"\w", token):
            raise ValueError(token)
        if token[0].isdigit():
            return re.sub(r"e(-?\d+)", r" \\cdot 10^{\1}", token)
        if token not in GREEK and self.took("("):
            name = rf"\{token}" if token in FUNCTIONS else rf"\operatorname{{{escaped(token)}}}"
            return name + self.closed(self.arguments, r"\left(", r"\right)", ")")
        if len(token) > 1 and self.names is not None and token not in self.names and token not in GREEK | NAMES.keys():
            raise ValueError(token)
        found = name_of(token)
        return found + self.closed(self.arguments, "_{", "}", "]") if self.took("[") else found

    def arguments(self):
        found = [self.sum()]
        while self.took(","):
            found.append(self.sum())
        return ", ".join(found)

    def closed(self, inner, left, right, end):
        found = inner()
        if not self.took(end):
            raise ValueError(self.tokens)
        return f"{left}{found}{right}"


def _bare(text):
    """Return a text without parentheses around all of it, where a bar or a raised place shows as much."""
    if text.startswith(r"\left(") and text.endswith(r"\right)"):
        depth = 0
        for found in re.finditer(r"\\left\b|\\right\b", text):
            depth += 1 if found[0] == r"\left" else -1
            if not depth:
                return text[6:-7] if found.end() == len(text) - 1 else text
    return text


def name_of(token):
    """Return the LaTeX of a variable: Greek letters, indices, or the word that is the argument's name."""
    stem, _, index = token.partition("_")
    if found := re.fullmatch(r"([A-Za-z]+?)(\d+)", stem):
        stem, index = found[1], found[2] + index
    letter = NAMES.get(stem) or (rf"\{stem}" if stem in GREEK else stem if len(stem) == 1 else None)
    if letter is None:
        return rf"\mathrm{{{escaped(token)}}}"
    if not index:
        return letter
    index = index if len(index) == 1 or index in ("t+1", "inf") else rf"\mathrm{{{escaped(index)}}}"
    return f"{letter}_{{{index.replace('inf', chr(92) + 'infty')}}}"
