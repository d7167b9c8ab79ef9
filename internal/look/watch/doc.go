// Package watch is the live view of what pods and containers use: rates from two
// samples, rows, and a model that takes samples and keys and draws a screen. It is pure:
// package sample reads, and who runs the terminal draws. What the model shows never
// moves by itself while it is paused, and the selected row stays selected when the order
// changes.
//
// All text in a Screen is harmless; a Table has it as processes chose it.
package watch
