# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Lets galaxy-importer judge the tarball $1; any warning is a failure.
set -eu
GALAXY_IMPORTER_CONFIG=$(cd "$(dirname "$0")" && pwd)/galaxy-importer.cfg
export GALAXY_IMPORTER_CONFIG
cd "$(dirname "$1")"
python -m galaxy_importer.main "$(basename "$1")" 2>&1 | tee importer.log
grep -q "Importer processing completed successfully" importer.log
! grep -E "WARNING|ERROR" importer.log
