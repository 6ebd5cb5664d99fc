# SPDX-License-Identifier: Apache-2.0
"""The programs: kuutamod, the supervisor, and kuutamoctl, which asks about it."""
