// Package faults tests the program itself, as a process of its own, against a receiver of traces that misbehaves,
// against signals and against being killed. Its tests run in a short form with all others; `make faults` runs the full
// form, row after row, and prints the table.
package faults
