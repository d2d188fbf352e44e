"""A world that is right and small, for tests to spoil."""

import copy
import json
from collections.abc import Callable
from typing import Any

import yaml

from broker.errors import FieldProblem, InvalidRequest
from broker.worlds.loader import load

WORLD = """
world: tiny
title: {zh: 小, en: Tiny}
sources:
  paper: {text: A newspaper, date: 2025-08-06}
  guess: {text: "assumed, nobody says", date: 2026-01-01}
hubs:
  - hub: qingyang
    title: {zh: 庆阳, en: Qingyang}
    capacity:
      - {date: 2025-12-31, fp16_milli_pflops: 5120, planned: true, source: paper}
  - hub: guian
    title: {zh: 贵安, en: Gui'an}
accelerator_models:
  - model: ascend-910b
    vendor: Huawei
    stack: cann
    origin: domestic
    fp16_nameplate_milli_tflops: {value: 320000, source: paper}
    fp16_programme_milli_tflops: {value: 320000, source: guess, doubtful: true}
    watts: {value: 350, source: paper}
clusters:
  - cluster: longdong
    hub: qingyang
    owner: longdong
    title: {zh: 陇东, en: Longdong}
    asks:
      ascend-910b: {micro_yuan_per_card_hour: 3500000, source: guess, doubtful: true}
    pools:
      - {pool: train, model: ascend-910b, nodes: 2, cards_per_node: 8, cpu_milli_per_node: 64000,
         memory_mib_per_node: 524288, source: guess, doubtful: true}
city_defaults:
  weight_ppm: 1000000
  pending_jobs_max: 1000
  calls_per_second_max: 100
  ceiling_micro_yuan_per_pflops_hour: {value: 40000000, source: guess, doubtful: true}
cities:
  - city: ganzhou
    title: {zh: 赣州, en: Ganzhou}
    source: paper
    round_trips:
      qingyang: {micros: 18000, source: guess, doubtful: true}
"""


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    """Return the small world's document with one change."""
    values = copy.deepcopy(yaml.safe_load(WORLD))
    change(values)
    return json.dumps(values, default=str)  # dates as text


def problems(document: str) -> list[FieldProblem]:
    """Return what is wrong with the document, nothing when it is a world."""
    try:
        load(document)
    except InvalidRequest as error:
        return list(error.fields)
    return []
