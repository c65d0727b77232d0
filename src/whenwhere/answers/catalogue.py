"""All answer forms by name: one line per file of forms."""

from whenwhere.answers.box_forms import BOX_FORMS
from whenwhere.answers.forms import Form
from whenwhere.answers.span_forms import SPAN_FORMS
from whenwhere.answers.token_form import TOKEN_FORM

#: Form by name, as in `parse(text, "strict", form=name)`.
FORMS: dict[str, Form] = {form.name: form for form in (*SPAN_FORMS, *BOX_FORMS, TOKEN_FORM)}
