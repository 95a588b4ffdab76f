"""A model is left as it was found: by several threads at once, after errors, and by Ctrl-C at any moment."""

import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from conftest import QUICK, SENTENCE

import udig_lab as ul
from udig_lab.model import borrowing
from udig_lab.model.textmodel import left_as_found

TEXTS = [SENTENCE, "quite dull", "the acting is wooden but the ending moved me"]
IDS = {"input_ids": [1, 30, 31, 2], "special_ids": [1, 2], "baseline": 0}


@pytest.fixture(autouse=True)
def answered():
    """Python answers Ctrl-C, as in a terminal; a shell has what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def state(model):
    """Modes, needs of gradients, and hooks."""
    hooks = [len(getattr(module, name)) for module in model.modules() for name in borrowing._HOOKS]
    modes = [module.training for module in model.modules()]
    return modes, [p.requires_grad for p in model.parameters()], [p.grad is None for p in model.parameters()], hooks


@pytest.fixture
def mixed(random_bert):
    """A classifier in training mode with some frozen parameters and one layer in evaluation mode."""
    for number, parameter in enumerate(random_bert.parameters()):
        parameter.requires_grad_(number % 3 != 0)
    random_bert.bert.encoder.layer[1].eval()
    return random_bert


# Threads


@pytest.mark.parametrize("method", ["ig", "sig", "udig", "shapley_sampling", "deep_lift"])
def test_threads_on_one_model_get_the_right_scores(method, mixed):
    settings = QUICK[method]
    texts = [[1, *range(20, 20 + n), 2] for n in range(2, 8)] * 3

    def explained(ids):
        return ul.explain(mixed, input_ids=ids, special_ids=[1, 2], baseline=0, method=method, **settings).scores

    before = state(mixed)
    expected = [explained(ids) for ids in texts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(explained, texts))
    assert state(mixed) == before
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, abs=1e-6)


def test_threads_on_one_model_and_tokenizer(lab):
    """Every kind of call at once: methods with hooks, cuts of different lengths, metrics."""
    calls = [
        lambda: ul.explain(lab, SENTENCE, method="ig2", **QUICK["ig2"]).scores,
        lambda: ul.explain(lab, TEXTS[2], max_length=6, n_steps=4).scores,
        lambda: ul.explain(lab, TEXTS[2], max_length=8, n_steps=4).scores,
        lambda: ul.explain(lab, SENTENCE, n_steps=4, precision="bfloat16").scores,
        lambda: ul.metrics.comprehensiveness(lab, [ul.explain(lab, SENTENCE, method="sig")]).tolist(),
    ] * 2
    before = state(lab.model)
    expected = [call() for call in calls]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda call: call(), calls))
    assert state(lab.model) == before
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, abs=2e-3)  # two passes in bfloat16 may share their kernel's choice


def test_the_choice_of_a_kernel_is_given_back(lab):
    flags = (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.mem_efficient_sdp_enabled)
    before = [flag() for flag in flags]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ul.explain(ul.load("sst2"), "dull", n_steps=2, precision="bfloat16"), range(8)))
    assert [flag() for flag in flags] == before


def test_it_may_be_entered_again(mixed):
    before = state(mixed)
    with left_as_found(mixed):
        with left_as_found(mixed):
            assert not any(module.training for module in mixed.modules())
        assert not any(module.training for module in mixed.modules())
    assert state(mixed) == before


def test_another_thread_waits(mixed):
    order = []

    def other():
        with left_as_found(mixed):
            order.append("other")

    thread = threading.Thread(target=other)
    with left_as_found(mixed):
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_a_lock_dies_with_its_model():
    thing = torch.nn.Linear(1, 1)
    number = id(thing)
    borrowing.lock_of(thing)
    assert number in borrowing._LOCKS
    del thing
    assert number not in borrowing._LOCKS


def test_after_an_error(mixed):
    before = state(mixed)

    def fail():
        with left_as_found(mixed):
            mixed.bert.pooler.register_forward_hook(lambda *_: None)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert state(mixed) == before


# Ctrl-C


class Tracer:
    """Presses Ctrl-C at the k-th instruction of some functions; Python itself looks at some of them only."""

    def __init__(self, at, traced):
        self.at, self.traced, self.seen = at, traced, 0

    def __call__(self, frame, event, argument):
        if not self.traced(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event in ("opcode", "call"):
            self.seen += 1
            if self.seen == self.at:
                signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)  # as Python does, between two instructions
        return self


def pressed_at(tracer, model, around):
    """Whether Ctrl-C was heard; it must be, at the latest a moment after the model is given back."""
    previous = sys.gettrace()
    try:
        sys.settrace(tracer)
        with around(model):
            sys.settrace(previous)
            time.sleep(2 * borrowing._AGAIN)  # if it was postponed, it comes now
            sys.settrace(tracer)
    except KeyboardInterrupt:
        sys.settrace(previous)
        return True, state(model)  # while the traceback still holds all frames: nobody tidies up behind us
    finally:
        sys.settrace(previous)
    return False, state(model)


@contextmanager
def wrapped(model):
    """As ``problem.posed``: a generator is asked to go on by functions of Python, in which Ctrl-C may come, too."""
    with left_as_found(model):
        yield


BORROWED = (left_as_found, lambda code: code.co_qualname.startswith("Borrowed."))
CONTEXT = (wrapped, lambda code: code.co_qualname.startswith("_GeneratorContextManager.__e"))


@pytest.mark.parametrize(("around", "traced"), [BORROWED, CONTEXT], ids=["left_as_found", "around it"])
def test_ctrl_c_at_every_instruction(around, traced):
    """Every instruction of every function that takes or gives back."""
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout())
    model[0].bias.requires_grad_(False)
    before, handler = state(model), signal.default_int_handler
    count = Tracer(-1, traced)
    pressed_at(count, model, around)
    assert count.seen > 25
    for at in range(1, count.seen + 1):
        heard, after = pressed_at(Tracer(at, traced), model, around)
        assert heard, f"instruction {at}: Ctrl-C was lost"
        assert after == before, f"instruction {at}: the model is not as it was"
        assert signal.getsignal(signal.SIGINT) is handler
        assert borrowing.lock_of(model).acquire(blocking=False)
        borrowing.lock_of(model).release()
        with ThreadPoolExecutor(1) as pool:  # nor does another thread find it locked
            assert pool.submit(borrowing.lock_of(model).acquire, False).result()
            pool.submit(borrowing.lock_of(model).release).result()


def interrupted(call, after):
    """Press Ctrl-C some time after a call began; True if the call ended by it."""
    main = threading.main_thread().ident
    timer = threading.Timer(after, lambda: signal.pthread_kill(main, signal.SIGINT))
    ended = False
    try:
        timer.start()
        call()
        timer.cancel()
        timer.join()
        time.sleep(0)  # a signal that is on its way
    except KeyboardInterrupt:
        ended = True
    return ended


# Ctrl-C that falls into a callback of the garbage collector (Dask has one) is only warned of, by Python itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", ["sig", "ig", "deep_lift", "ig2"])
def test_ctrl_c_in_the_middle_of_a_call(lab, method):
    def call():
        ul.explain(lab, SENTENCE, method=method, **QUICK[method])

    begin = time.perf_counter()
    call()
    lasts = time.perf_counter() - begin
    before, generator, count = state(lab.model), random.Random(0), 0
    expected = ul.explain(lab, SENTENCE, method="sig").scores
    for _ in range(12):
        count += interrupted(call, generator.uniform(0, lasts))
        assert state(lab.model) == before
    assert count > 0
    assert ul.explain(lab, SENTENCE, method="sig").scores == pytest.approx(expected, abs=1e-6)


def test_ctrl_c_while_another_thread_has_the_model(mixed):
    before, go, taken = state(mixed), threading.Event(), threading.Event()

    def other():
        with left_as_found(mixed):
            taken.set()
            go.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    taken.wait()

    def waits():
        with left_as_found(mixed):
            pass

    begin = time.monotonic()
    assert interrupted(waits, 0.05)
    assert time.monotonic() - begin < 20  # and not when the other is done
    go.set()
    thread.join()
    assert state(mixed) == before


def test_who_ignores_ctrl_c_goes_on_ignoring_it(mixed):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with left_as_found(mixed):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
