"""The table of a split, `<split>/metadata.parquet`: each image's path, label and other columns, typed for its readers.

The file's name and its column `file_name` are the convention of Hugging Face's imagefolder, where a schema in the
footer makes `label` a ClassLabel. That it is a number in the file is Hugging Face's demand, so the text stands beside
it. Every split of a version has the same columns with the same types, also where one has no value in a column.

| column       | type        | value                                                                        |
|--------------|-------------|------------------------------------------------------------------------------|
| file_name    | string      | the image's path below the split: `<label>/<uuid>.<extension>`               |
| label        | integer     | the place of the label in the manifest's `classes`, from 0                   |
| label_name   | string      | the label                                                                    |
| …            | its own     | the manifest's other columns (uuid too), in its order; null: no value        |
"""

import json
from collections.abc import Mapping, Sequence

import polars as pl
from polars import DataFrame, col

from registry.core import item_paths
from registry.core.values import Column
from registry.dataset import column_types, parquet_files, parquet_writer
from registry.errors import Refused

FILE_NAME, LABEL, LABEL_NAME = "file_name", "label", "label_name"
UUID = "uuid"

# Hugging Face's names of the types: https://huggingface.co/docs/datasets/about_dataset_features
_FEATURES: Mapping[pl.DataType, str] = {
    pl.String(): "string",
    pl.Int64(): "int64",
    pl.Float64(): "float64",
    pl.Boolean(): "bool",
    pl.Date(): "date32",
    pl.Datetime("us", "UTC"): "timestamp[us, tz=UTC]",
}


def write(rows: DataFrame, classes: Sequence[str]) -> bytes:
    """The table of rows with the columns file_name, label (as text) and any others, sorted by file_name."""
    number = col(LABEL).replace_strict(list(classes), range(len(classes)), return_dtype=pl.Int64)
    table = rows.sort(FILE_NAME).select(FILE_NAME, number, col(LABEL).alias(LABEL_NAME), pl.exclude(FILE_NAME, LABEL))
    return parquet_writer.write(table, {"huggingface": _features(table, classes)})


def read(data: bytes, columns: Sequence[Column]) -> DataFrame:
    """A split's table: uuid, label (as text), and those of the columns that it has. Raises Refused.

    It is refused where it is damaged, or where a column has not the type that the manifest gives it.
    """
    types = {column.name: column_types.dtype(column.type) for column in columns if column.name not in {UUID, LABEL}}
    table = _parse(data, [FILE_NAME, LABEL_NAME, *types])
    for name in table.columns[2:]:
        if table.schema[name] != types[name]:
            raise _refused(f"column {name} has the type {table.schema[name]}, expected {types[name]}")
    return table.select(_uuid(), col(LABEL_NAME).alias(LABEL), *table.columns[2:])


def read_texts(data: bytes, name: str) -> DataFrame | None:
    """One column as texts, as an export has them: uuid, value. None without such a column. Raises Refused."""
    name = LABEL_NAME if name == LABEL else name
    table = _parse(data, [FILE_NAME, LABEL_NAME, name])
    if name not in table.columns:
        return None
    if table.schema[name] not in _FEATURES:
        raise _refused(f"column {name} has the type {table.schema[name]}")
    return table.select(_uuid(), value=column_types.as_text(name, table.schema[name]))


def _parse(data: bytes, names: Sequence[str]) -> DataFrame:
    """Those of the columns that the table has, in the order of the names; the first two are required texts."""
    fix = "registry build"
    try:
        table = parquet_files.read_table(data, "metadata.parquet", wanted=set(names).__contains__, fix=fix)
    except pl.exceptions.PolarsError as error:
        raise Refused("metadata.parquet is not a valid Parquet file", fix=fix) from error
    if missing := [name for name in names[:2] if table.schema.get(name) != pl.String()]:
        raise _refused(f"no column {missing[0]} of texts")
    return table


def _refused(fault: str) -> Refused:
    return Refused(f"metadata.parquet: {fault}", fix="registry build")


def _uuid() -> pl.Expr:
    return col(FILE_NAME).str.extract_groups(item_paths.FILE_NAME).struct.field(UUID)


def json_feature(dtype: pl.DataType) -> Mapping[str, object]:
    """Hugging Face's type of a column as JSON has its values: dates and times are texts."""
    return {"dtype": "string" if dtype.is_temporal() else _FEATURES[dtype], "_type": "Value"}


def _features(table: DataFrame, classes: Sequence[str]) -> str:
    features: dict[str, Mapping[str, object]] = {
        name: {"dtype": _FEATURES[dtype], "_type": "Value"} for name, dtype in table.schema.items()
    }
    features[LABEL] = {"names": list(classes), "_type": "ClassLabel"}
    return json.dumps({"info": {"features": features}})
