package toolbox

import (
	"strings"
	"testing"
)

func TestLineEditor(t *testing.T) {
	const up, left, home, del = "\x1b[A", "\x1b[D", "\x01", "\x7f"
	for _, test := range []struct{ name, typed, want string }{
		{"history", "echo on''e\n" + up + "\n", "one\r\n"},
		{"arrows and erase", "echo adc" + left + del + "b\n", "abc\r\n"},
		{"begin of the line", "b''c" + home + "echo a\n", "abc\r\n"},
		{"history outlives an interrupt", "echo tw''o\n" + "junk" + ctrlC + up + "\n", "two\r\n"},
		{"letters of several bytes", "echo é''ü\n", "éü\r\n"},
		{"what follows is for the command", "read x; echo got-$x\nhel''lo\n", "got-hel''lo\r\n"},
		{"keys for commands", "echo" + ctrlZ + ctrlBackslash + " o''k\n", "ok\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := talk(t, roomFirst)
			d.say(test.typed)
			d.expect(test.want)
			d.expect("# ")
			if strings.HasPrefix(test.name, "history") { // that was the first time
				d.expect(test.want)
				d.expect("# ")
			}
			d.say("exit 4\n")
			if code := exitCode(within(t, 5e9, d.cmd)); code != 4 {
				t.Errorf("code %d", code)
			}
		})
	}
}
