"""Vectors of 512 bits where the processor has them: LLVM by itself stays at 256 on Intel's, for the sake of old ones.

A polynomial takes three quarters of the time then. LLVM reads its preference from an attribute of each
function; Numba has no option for it, so these are Numba's own compiler passes but for that attribute.
"""

from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

_ATTRIBUTE = '"prefer-vector-width"="512"'


class _Lower(Lower):
    def setup_function(self, fndesc):
        super().setup_function(fndesc)
        set.add(self.function.attributes, _ATTRIBUTE)  # llvmlite's own `add` knows no attributes with a value


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    _name = "wide_native_lowering"

    @property
    def lowering_class(self):
        return _Lower


class Compiler(CompilerBase):
    """Numba's compiler, with that attribute: for ``numba.njit(pipeline_class=...)``."""

    def define_pipelines(self):
        """Return Numba's passes, the last of them replaced."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_Lowering if each is NativeLowering else each, text) for each, text in manager.passes]
        manager.finalize()
        return [manager]
