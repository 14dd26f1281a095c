"""One churn and one engagement training for all tests here: about seven seconds."""

import pytest

from predictions.ml import churn, engagement

from .synthetic import casino


@pytest.fixture(scope="package")
def world():
    return casino(5000, seed=1)


@pytest.fixture(scope="package")
def trained(world):
    return churn.train(world[0], seed=1)


@pytest.fixture(scope="package")
def engaged(world):
    return engagement.train(world[0], seed=1)
