"""What is logged of an error names the fault and the place, and nobody's data."""

import psycopg
import pytest
from django.db import DataError, IntegrityError, connection, transaction

from loyalty_site.common.errors import error_location, error_text

pytestmark = pytest.mark.django_db


def _caught(sql: str) -> Exception:
    with pytest.raises((DataError, IntegrityError)) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    return caught.value


def test_error_text__row_quoted_by_the_database__is_left_out() -> None:
    error = _caught("INSERT INTO auth_group (id, name) VALUES (-1, NULL), (-2, 'Anna Example')")
    assert "Failing row contains" in str(error)
    assert error_text(error) == ('IntegrityError: null value in column "name" of relation "auth_group" violates not-null constraint')


def test_error_text__value_that_does_not_fit__is_not_quoted() -> None:
    error = _caught("SELECT CAST('anna@player.example' AS integer)")
    assert error_text(error) == 'DataError: invalid input syntax for type integer: "…"'


def test_error_text__value_with_quotes_of_its_own__is_not_quoted_in_part() -> None:
    error = _caught("""SELECT CAST('a"anna@player.example"b' AS integer)""")
    assert error_text(error) == 'DataError: invalid input syntax for type integer: "…"'


def test_error_text__driver_error_of_a_copy__is_read_like_the_wrapped_one() -> None:
    def copy_text() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE taken (n integer)")
            with cursor.copy("COPY taken FROM STDIN") as copy:
                copy.write("anna@player.example\n")

    with pytest.raises(psycopg.Error) as caught:
        copy_text()
    assert "anna@player.example" in str(caught.value)
    assert error_text(caught.value) == 'InvalidTextRepresentation: invalid input syntax for type integer: "…"'


def test_error_text__code_that_handles_rows__names_the_kind_alone() -> None:
    error = ValueError("invalid literal: 'anna@player.example'")
    assert error_text(error, handles_rows=True) == "ValueError"
    assert error_text(error) == "ValueError: invalid literal: 'anna@player.example'"


def test_error_location__names_the_function_and_no_value() -> None:
    def in_work(name: str) -> None:
        raise ValueError(name)

    with pytest.raises(ValueError, match="anna") as caught:
        in_work("anna" + "@player.example")
    assert "in in_work" in error_location(caught.value)
    assert "anna@player.example" not in error_location(caught.value)
