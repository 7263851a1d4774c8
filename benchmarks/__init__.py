# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Measurements, each beside what one would use instead: `python -m benchmarks`."""
