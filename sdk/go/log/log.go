// Package log writes lines into the server's log. It needs no grant; lines over the limit are dropped and counted.
package log

import "fmt"

func Debug(format string, arguments ...any) { write(1, fmt.Sprintf(format, arguments...)) }
func Info(format string, arguments ...any)  { write(2, fmt.Sprintf(format, arguments...)) }
func Warn(format string, arguments ...any)  { write(3, fmt.Sprintf(format, arguments...)) }
func Error(format string, arguments ...any) { write(4, fmt.Sprintf(format, arguments...)) }
