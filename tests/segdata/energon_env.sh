#!/bin/sh
# Makes an environment that has Megatron Energon on top of the packages of another one, which stays as it is: torch
# is shared, not installed again.   usage: energon_env.sh FOLDER [PYTHON]   then: SEGDATA_ENERGON_PYTHON=FOLDER/bin/python
set -eu
folder=$1
python=${2:-.venv/bin/python}
where='import sysconfig; print(sysconfig.get_path("purelib"))'

"$python" -m venv "$folder"
packages=$("$python" -c "$where")
echo "import site; site.addsitedir('$packages')" >"$("$folder/bin/python" -c "$where")/shared.pth"
"$folder/bin/python" -m pip install --quiet 'megatron-energon>=7.4' # 7.4 is the first that these tests have seen
"$folder/bin/python" -c 'import megatron.energon'
echo "$folder/bin/python"
