"""Formulas of docstrings, such as ``p <- p - lr * m / (sqrt(v) + eps)``, as LaTeX."""

import re

GREEK = {"alpha", "beta", "delta", "epsilon", "eta", "gamma", "mu", "rho", "sigma", "tau"}
NAMES = {"eps": r"\epsilon", "lambd": r"\lambda", "inf": r"\infty", "pi": r"\pi"}
CONDITIONS = ("if", "where", "for")
FUNCTIONS = {"exp", "log", "max", "min", "tanh"}  # that LaTeX knows
SIGNS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "<-": r"\leftarrow", "*": r"\,", "...": r"\ldots"}
TOKEN = re.compile(
    r"\s*(\d+\.?\d*(?:e-?\d+)?|[A-Za-z]\w*?_t\+1|[A-Za-z]\w*'?|\*\*|<-|<=|>=|!=|\.\.\.|[-+*/()\[\]|,=<>])"
)
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
        rows.append(
            f"{label}&{found}"
            + "".join(r"\qquad " + (("=" in note and formula(note)) or words(note)) for note in notes)
        )
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
        found = self._choice()
        if self.tokens[self.place]:
            raise ValueError(self.tokens)
        return found

    def _choice(self):
        """Read a value, or values with conditions: a if b, c if d, else e."""
        found = [(self._relation(), "")]
        while self._took(*CONDITIONS):
            found[-1] = found[-1][0], r"\text{if } " + self._relation()
            if not self._took(","):
                break
            other = r"\text{else}" if self._took("else") else ""
            found.append((self._relation(), other))
        if len(found) == 1:
            return " ".join(found[0]).strip()
        rows = r" \\ ".join(" & ".join(row) for row in found)
        return rf"\begin{{cases}} {rows} \end{{cases}}"

    def _next(self):
        self.place += 1
        return self.tokens[self.place - 1]

    def _took(self, *signs):
        """Return the next token if it is one of these, and go on."""
        return self._next() if self.tokens[self.place] in signs else ""

    def _relation(self):
        parts = [] if self.tokens[self.place] in RELATIONS else [self._sum()]
        while sign := self._took(*RELATIONS):
            parts += [SIGNS.get(sign, sign), self._sum()]
        return " ".join(parts)

    def _sum(self):
        parts = [self._took("-", "+") + self._product()]
        while sign := self._took("+", "-"):
            parts += [sign, self._product()]
        return " ".join(parts)

    def _product(self):
        found = self._power()
        while True:
            if self._took("/"):
                found = rf"\frac{{{_bare(found)}}}{{{_bare(self._power())}}}"
            elif self._took("*") or self._is_next_factor():
                found = rf"{found} \, {self._power()}"
            else:
                return found

    def _is_next_factor(self):
        token = self.tokens[self.place]
        return bool(re.match(r"[\w(.]", token)) and token not in (*CONDITIONS, "else")

    def _power(self):
        base = self._atom()
        if self._took("**"):
            sign = self._took("-")
            return f"{{{base}}}^{{{sign}{_bare(self._atom())}}}"
        return base

    def _atom(self):
        token = self._next()
        if token == "(":
            return self._closed(self._choice, r"\left(", r"\right)", ")")
        if token == "|":
            return self._closed(self._sum, r"\left|", r"\right|", "|")
        if token == "...":
            return r"\ldots"
        if token == "sum":
            return rf"\sum {self._product()}"
        if token == "sqrt" and self._took("("):
            return self._closed(self._sum, r"\sqrt{", "}", ")")
        if not re.match(r"\w", token):
            raise ValueError(token)
        if token[0].isdigit():
            return re.sub(r"e(-?\d+)", r" \\cdot 10^{\1}", token)
        if token not in GREEK and self._took("("):
            name = rf"\{token}" if token in FUNCTIONS else rf"\operatorname{{{escaped(token)}}}"
            return name + self._closed(self._arguments, r"\left(", r"\right)", ")")
        if len(token) > 1 and self.names is not None and token not in self.names and token not in GREEK | NAMES.keys():
            raise ValueError(token)
        found = name_of(token)
        return found + self._closed(self._arguments, "_{", "}", "]") if self._took("[") else found

    def _arguments(self):
        found = [self._sum()]
        while self._took(","):
            found.append(self._sum())
        return ", ".join(found)

    def _closed(self, inner, left, right, end):
        found = inner()
        if not self._took(end):
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
    if token.endswith("'"):
        return name_of(token[:-1]) + "'"
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
