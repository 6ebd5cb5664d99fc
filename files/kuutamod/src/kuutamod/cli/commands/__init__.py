# SPDX-License-Identifier: Apache-2.0
"""The commands of kuutamoctl, a module each; ``kuutamoctl.COMMANDS`` lists them."""
