"""The card on a page: what the Markdown says, drawn, and nothing of the record taken for markup."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from predictions.admin.card import card_html

from . import rows


def test_card_html__headings_paragraphs_bold_and_code() -> None:
    assert card_html("# Churn 7\n\nIt is **not** so.\n\n## Checks\n\n### Lift\n\n`churn/a.joblib`, signed.\n") == (
        "<p>It is <strong>not</strong> so.</p><h3>Checks</h3><h4>Lift</h4><p><code>churn/a.joblib</code>, signed.</p>"
    )


def test_card_html__table__keeps_a_bar_within_a_cell_and_drops_an_empty_head() -> None:
    table = '<div class="lb-scroll"><table class="lb-table pred-table">{}<tbody>{}</tbody></table></div>'
    assert card_html("|  | why |\n| --- | --- |\n| **failed** | says \\| too much |") == table.format(
        "<thead><tr><th></th><th>why</th></tr></thead>", "<tr><td><strong>failed</strong></td><td>says | too much</td></tr>"
    )
    assert card_html("|  |  |\n| --- | --- |\n| Status | In use |") == table.format("", "<tr><td>Status</td><td>In use</td></tr>")


def test_card_html__markup_in_the_record__is_text() -> None:
    assert card_html("<script>alert(1)</script> & **<b>**") == (
        "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; <strong>&lt;b&gt;</strong></p>"
    )


@pytest.mark.django_db
def test_version__its_card__is_drawn(client_of: Callable[..., Client]) -> None:
    url = reverse("admin:predictions_modelversion_change", args=[rows.version("churn").pk])
    text = client_of("Read-only").get(url).content.decode()
    assert "<h3>What it must not be used for</h3>" in text
    assert "<td><strong>logistic regression</strong> (chosen)</td>" in text
    assert "## " not in text
