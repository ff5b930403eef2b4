"""A chart refuses to be wrong, and answers where an event leads."""

from typing import Any

import pytest

from metawsm_rpc.domain.charts import Chart, ChartError, Move, advance
from metawsm_rpc.errors import IllegalTransitionError


def chart(**changes: Any) -> Chart:
    """Return a small right chart: a parcel, with what a test changes in it."""
    definition: dict[str, Any] = {
        "states": ("packed", "sent", "lost", "delivered"),
        "superstates": {"under_way": ("sent", "lost")},
        "initial": "packed",
        "final": ("delivered",),
        "moves": (
            Move("send", ("packed",), "sent"),
            Move("lose", ("sent",), "lost"),
            Move("arrive", ("under_way",), "delivered", "signed"),
            Move("arrive", ("under_way",), "packed"),
            Move("ask", ("under_way", "delivered"), None, effects=("answer",)),
        ),
    }
    return Chart("parcel", **{**definition, **changes})


def more(*moves: Move) -> tuple[Move, ...]:
    return (*chart().moves, *moves)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"initial": "wrapped"}, "no such states: wrapped"),
        ({"initial": "under_way"}, "no such states: under_way"),
        ({"final": ("eaten",)}, "no such states: eaten"),
        ({"final": ("under_way",)}, "no such states: under_way"),
        ({"moves": more(Move("burn", ("packed",), "burnt"))}, "no such states: burnt"),
        ({"moves": more(Move("go", ("packed",), "under_way"))}, "no such states: under_way"),
        ({"moves": more(Move("burn", ("wrapped",), "sent"))}, "neither states nor superstates: wrapped"),
        ({"superstates": {"under_way": ("sent", "flying")}}, "neither states nor superstates: flying"),
        ({"states": ("packed", "sent", "lost", "delivered", "sent")}, "there is more than one of sent"),
        ({"superstates": {"under_way": ("sent",), "sent": ("lost",)}}, "there is more than one of sent"),
    ],
)
def test_names_that_do_not_exist_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ChartError, match=f"chart parcel: {told}$"):
        chart(**changes)


@pytest.mark.parametrize(
    ("superstates", "told"),
    [
        ({"under_way": ("sent", "lost"), "open": ("packed", "sent")}, "in more than one superstate: sent"),
        ({"under_way": ("sent", "lost", "under_way")}, "nested in themselves: under_way"),
        ({"under_way": ("sent", "outer"), "outer": ("lost", "under_way")}, "nested in themselves: outer, under_way"),
    ],
)
def test_superstates_form_a_tree(superstates: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(ChartError, match=told):
        chart(superstates=superstates)


def test_a_state_that_nothing_leads_to_is_refused() -> None:
    with pytest.raises(ChartError, match="cannot be reached: torn"):
        chart(states=(*chart().states, "torn"), moves=more(Move("mend", ("torn",), "packed")))


def test_a_state_that_only_leads_to_itself_is_a_trap() -> None:
    with pytest.raises(ChartError, match="traps that are not final: stuck"):
        chart(
            states=(*chart().states, "stuck"),
            moves=more(
                Move("jam", ("sent",), "stuck"), Move("wait", ("stuck",), "stuck"), Move("ask", ("stuck",), None)
            ),
        )


def test_states_that_only_lead_to_each_other_are_a_trap() -> None:
    with pytest.raises(ChartError, match="traps that are not final: here, there"):
        chart(
            states=(*chart().states, "here", "there"),
            moves=more(
                Move("roam", ("sent",), "here"), Move("swing", ("here",), "there"), Move("swing", ("there",), "here")
            ),
        )


def test_a_lifecycle_without_an_end_must_not_get_stuck() -> None:
    tide = {"states": ("low", "high"), "superstates": {}, "initial": "low", "final": ()}
    rise, fall = Move("rise", ("low",), "high"), Move("fall", ("high",), "low")
    assert Chart("tide", **tide, moves=(rise, fall)).final == ()  # type: ignore[arg-type]
    with pytest.raises(ChartError, match="traps that are not final: high"):
        Chart("tide", **tide, moves=(rise,))  # type: ignore[arg-type]


def test_a_final_state_has_no_way_out() -> None:
    with pytest.raises(ChartError, match="final, but with a way out: delivered"):
        chart(moves=more(Move("return", ("delivered",), "packed")))


@pytest.mark.parametrize(
    "hidden",
    [Move("lose", ("sent",), "packed"), Move("lose", ("under_way",), "packed", "insured")],
    ids=["another target", "a guard behind none"],
)
def test_a_move_that_can_never_be_taken_is_refused(hidden: Move) -> None:
    with pytest.raises(ChartError, match="from sent, a move hides another one of lose"):
        chart(moves=more(hidden))


def test_an_event_without_sources_is_refused() -> None:
    with pytest.raises(ChartError, match="lead from nowhere: vanish"):
        chart(moves=more(Move("vanish", (), "lost")))


def test_an_event_leads_to_its_target_with_its_effects() -> None:
    assert advance(chart(), "packed", "send", entity="parcel 7") == ("sent", ())
    assert advance(chart(), "delivered", "ask", entity="parcel 7") == ("delivered", ("answer",))


def test_of_several_moves_the_first_whose_guard_holds_is_taken() -> None:
    for state in ("sent", "lost"):
        assert advance(chart(), state, "arrive", entity="p", facts={"signed"}).target == "delivered"
        assert advance(chart(), state, "arrive", entity="p", facts={"heavy"}).target == "packed"
        assert advance(chart(), state, "arrive", entity="p").target == "packed"
    both = chart(
        moves=more(
            Move("check", ("packed",), "sent", "light"),
            Move("check", ("packed",), "lost", "heavy"),
        )
    )
    assert advance(both, "packed", "check", entity="p", facts=("heavy", "light")).target == "sent"
    assert advance(both, "packed", "check", entity="p", facts=("heavy",)).target == "lost"


def test_an_illegal_event_names_the_entity_its_state_and_what_it_accepts() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        advance(chart(), "sent", "send", entity="parcel 7")
    assert caught.value.message == "Parcel 7 is sent, so it cannot send."
    assert caught.value.hint is None
    assert caught.value.details == {
        "entity": "parcel 7",
        "state": "sent",
        "event": "send",
        "legal": ["lose", "arrive", "ask"],
    }


def test_an_illegal_wish_is_told_in_a_persons_words_with_what_can_be_asked_for() -> None:
    wishes = {"send": ("post", "be posted"), "ask": ("track", "be tracked"), "lose": ("drop", "be dropped")}
    with pytest.raises(IllegalTransitionError) as caught:
        advance(chart(wishes=wishes), "lost", "send", entity="parcel 7")
    assert caught.value.message == "Parcel 7 is lost, so it cannot be posted."
    assert caught.value.hint == "What can be asked of it now: track."
    with pytest.raises(ChartError, match="wishes for no event: eat"):
        chart(wishes={"eat": ("eat", "be eaten")})


def test_an_event_whose_guards_all_fail_is_illegal() -> None:
    guarded = chart(moves=more(Move("burn", ("packed",), "lost", "wooden")))
    with pytest.raises(IllegalTransitionError):
        advance(guarded, "packed", "burn", entity="p", facts={"iron"})


def test_an_unknown_event_is_illegal_and_no_defect() -> None:
    with pytest.raises(IllegalTransitionError, match="cannot eat"):
        advance(chart(), "delivered", "eat", entity="p")


def test_members_reach_into_nested_superstates_and_name_each_state_once() -> None:
    nested = chart(superstates={"open": ("packed", "under_way"), "under_way": ("sent", "lost")})
    assert nested.members("open", "sent", "delivered") == ("packed", "sent", "lost", "delivered")
    assert nested.events("lost") == ("arrive", "ask")


def test_sources_are_the_states_from_which_an_event_can_come_to_a_target() -> None:
    assert chart().sources("arrive", "delivered") == ("sent", "lost")
    assert chart().sources("arrive", "lost") == ()
    assert chart().sources("ask", "lost") == ("lost",)
