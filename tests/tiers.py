"""The tiers of the tests, and how many kernels each file may compile.

``pytest`` runs the default tier, in minutes: what finds nearly all faults. ``pytest --full`` (or -m "full or not full")
runs all but what is marked slow. The full tier's own tests are those listed or marked so, and of tests with many cases,
taken in a random order that is always the same, those that bring no value of a parameter which none before had: each
optimizer, option, dtype and size is still there once. A test that the command line names by ``::`` runs in any case.

Compiling is what tests would wait for. It is counted: a file that compiles more kernels than its budget fails, and says
in which tests. (From a cache that has them, none is compiled.)
"""

import random
from collections import Counter

import pytest

from gd.kernels import compiler

FEW = 8  # cases of a test that are never thinned out
MANY = 60  # cases that are left at most, but of those that call or look at every public function
MANY_OF = {
    "test_assembly.py": 8,
    "test_cases.py": 24,
    "test_compiler.py": 10,
    "test_peers.py": 12,
}  # fewer where each takes long
WHOLE = "test_bad_calls.py", "test_package.py"
LAST = ("test_bad_calls.py",)  # else two workers compile the same at the same time (files keep this order)
SCENARIOS = (
    "threads-omp",
    "fork-workqueue",
    "multiprocessing-fork",
    "joblib",
    "settings-omp",
    "interrupt-fit",
    "cache-damage",
    "packed-beside-the-other",
)  # one of a kind
LONG = {  # of the full tier, as they take some seconds: mostly new processes, which import and compile
    "test_cache.py": (
        "test_a_changed_rule_recompiles_what_depends_on_it_and_nothing_else",
        "test_code_of_two_processes_is_not_mistaken_for_each_other",
        "test_cached_code_that_splits_its_work_starts_the_threads_that_it_needs",
        "test_a_damaged_file_is_a_warning_and_a_recompile[flipped]",
        "test_a_damaged_file_is_a_warning_and_a_recompile[empty]",
        "test_a_damaged_file_is_a_warning_and_a_recompile[foreign]",
        "test_a_folder_that_cannot_be_made_is_a_warning",
        "test_code_from_before_an_upgrade_is_not_stored_as_that_of_after",
        "test_code_that_does_not_link_is_compiled",
        "test_code_that_holds_an_address_of_its_process_is_not_kept",
        "test_old_folders_are_pruned_and_others_are_left_alone",
        "test_processes_that_compile_at_once_do_not_disturb_each_other",
        "test_rules_of_users_are_cached_and_known_by_all_that_they_refer_to",
    ),
    "test_cases.py": ("test_pytest_benchmark_tells_what_was_measured",),
    "test_checkpoints.py": (
        "test_a_process_killed_while_it_saves_leaves_a_file_that_loads",
        "test_memory_is_bounded_by_the_size_of_the_file",
        "test_mutated_files_are_refused_or_mean_the_same",
    ),
    "test_committed_results.py": ("test_committed_reports_are_of_this_code",),
    "test_compiler.py": ("test_ctrl_c_while_numba_prepares_to_compile_does_not_break_it[looks_for_what_is_new]",),
    "test_distributed.py": (
        "test_only_the_first_rank_of_a_machine_compiles",
        "test_gd_train_on_two_ranks_ends_with_the_message_of_the_one_that_fails",
        "test_reproducible_trainings_have_the_same_bits_on_1_2_and_4_ranks",
        "test_fast_trainings_are_within_1e_6_of_one_process",
        "test_a_training_resumed_on_another_number_of_ranks_has_the_bits_of_one_that_ran_through",
        "test_each_rank_has_its_share_of_the_state",
        "test_seconds_are_told_apart_under_mpi",
        "test_a_killed_rank_ends_all_and_the_restart_comes_to_the_same_bits",
    ),
    "test_environment.py": ("test_compilation_tells_of_every_kernel_behind_a_name",),
    "test_gates.py": ("test_many_random_calls_end_as_in_python",),
    "test_growth.py": ("test_growth_is_measured_alone",),
    "test_linear_model.py": ("test_training_reaches_the_optimum",),
    "test_machine_code.py": ("test_each_thread_limits_accelerate_and_restores_it",),
    "test_math.py": (
        "test_polynomials_are_those_of_their_tool[float32-None]",
        "test_polynomials_are_those_of_their_tool[float64-None]",
    ),
    "test_array_lists.py": ("test_gradients_may_be_other_objects_at_every_step",),
    "test_profiling.py": (
        "test_perf_finds_kernels",
        "test_the_command_runs_a_module[-- -m]",
        "test_the_command_runs_a_script",
        "test_the_command_shows_what_a_script_raised",
        "test_the_command_wants_a_program",
        "test_the_map_names_kernels_compiled_and_loaded[off]",
    ),
    "test_readme.py": ("test_examples_draw_their_pictures",),
    "test_scikit_names.py": ("test_tests_of_scikit_learn_pass",),
    "test_search.py": ("test_the_example_runs",),
    "test_site.py": tuple(
        f"test_a_page_of_the_course_runs_and_draws_its_picture[{page}]"
        for page in (
            "04_initial_weights",
            "05_vanishing_gradients",
            "08_over_fitting",
            "10_search",
            "11_tasks",
            "12_efficient_backprop",
        )
    ),
    "test_training.py": ("test_killed_trainings_resume_with_the_same_bits",),
}
BUDGET = 100  # kernels that a file may compile
BUDGETS = {"test_activations.py": 300, "test_bad_calls.py": 200}  # 261 and 168 when each runs alone
_compiled = pytest.StashKey[Counter]()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the full tier, too")


def pytest_collection_modifyitems(config, items):
    """Leave out what is not of the tier that was asked for; put files last that need what others compile, too."""
    items.sort(key=lambda item: item.path.name in LAST)
    asked = config.option.markexpr
    for item in items:
        name, short = item.name, getattr(item, "originalname", None)
        scenario = short == "test_scenario" and item.callspec.id not in SCENARIOS
        if scenario or not {name, short}.isdisjoint(LONG.get(item.path.name, ())):
            item.add_marker("full")
    for item in _thinned_out([item for item in items if not item.get_closest_marker("full")]):
        item.add_marker("full")
    slow = "slow" in asked.replace("not slow", "")
    wanted = {"slow": slow, "full": slow or config.option.full or "full" in asked}
    if any("::" in argument for argument in config.args):
        return
    out = {item for item in items for name in wanted if item.get_closest_marker(name) and not wanted[name]}
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]


def _thinned_out(items):
    """Yield the cases that have no value of a parameter which none before had, of tests with many cases."""
    cases = {}
    for item in items:
        if hasattr(item, "callspec"):
            cases.setdefault((item.path, item.cls, item.originalname), []).append(item)
    for each in cases.values():
        if len(each) <= FEW or each[0].path.name in WHOLE:
            continue
        seen, kept, most = set(), 0, MANY_OF.get(each[0].path.name, MANY)
        random.Random(each[0].originalname).shuffle(each)  # so that not all have the first size and dtype
        for item in each:
            values = {(name, _key(value)) for name, value in item.callspec.params.items()}
            if values <= seen or kept == most:
                yield item
            else:
                seen |= values
                kept += 1


def _key(value):
    return repr(value) if isinstance(value, (str, int, float, bool, tuple, type(None))) else id(value)


@pytest.fixture(scope="module", autouse=True)
def _budget(request):
    """Fail in the last test of a file that compiled more kernels than it may."""
    counts = request.node.stash[_compiled] = Counter()
    yield
    total, most = counts.total(), BUDGETS.get(request.node.path.name, BUDGET)
    if total > most and not request.config.option.full:
        named = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5))
        pytest.fail(f"{request.node.path.name} compiled {total} kernels, {most} are its budget; most in {named}")


@pytest.fixture(autouse=True)
def _counted(request, _budget):
    before = compiler.compilations
    yield
    if compiler.compilations > before:
        request.node.getparent(pytest.Module).stash[_compiled][request.node.name] += compiler.compilations - before
