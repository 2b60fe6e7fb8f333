package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLook(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := Look([]string{"/bin/true"}, nil, time.Minute, 1); errors.Is(err, unix.ENOSYS) {
		t.Skip("no seccomp here: ", err) // under QEMU
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("seen"), 0); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(secret)
	for command, want := range map[string]string{
		"echo a; echo b >&2; exit 3":                     "a\n|b\n|3|false",
		"echo $FOO $BAR $HOME":                           "bar\n||0|false",
		"cat \"$SECRET\"":                                "seen||0|false",
		"read x; echo \"got $x\"":                        "got \n||0|false",
		"echo a >/dev/null 2>&1; echo b >/dev/stderr":    "|b\n|0|false",
		"[ -t 0 ] || [ -e /proc/net/dev ]; (exit 4)":     "||4|false",
		"echo $(echo a | cat)":                           "a\n||0|false",
		"echo $$ $(readlink /proc/self) | grep -c '^1 '": "1\n||0|false",
		"grep -i ^CapEff /proc/self/status":              "CapEff:\t0000000000000004\n||0|false",
		"sleep 100 & echo a":                             "a\n||0|false", // and it goes
		"cd \"$DIR\"; pwd":                               dir + "\n||0|false",

		"echo a; : >\"$DIR\"/made; echo b":                           "a\n||-1|true",
		"echo a >>\"$SECRET\"":                                       "||-1|true",
		"exec 3<>\"$SECRET\"":                                        "||-1|true",
		"mkdir \"$DIR\"/made || echo b":                              "||-1|true",
		"rm \"$SECRET\" 2>/dev/null || echo b":                       "||-1|true",
		"mv \"$SECRET\" \"$DIR\"/moved || echo b":                    "||-1|true",
		"ln -s a \"$DIR\"/made || echo b":                            "||-1|true",
		"chmod 600 \"$SECRET\" || echo b":                            "||-1|true",
		"ip link show lo || echo b":                                  "||-1|true",
		"kill -0 1 || echo b":                                        "||-1|true",
		"mount -t tmpfs none /mnt || echo b":                         "||-1|true",
		"unshare -m true || echo b":                                  "||-1|true",
		"(echo a >/dev/tcp/127.0.0.1/9) 2>/dev/null; echo b; exit 5": "||-1|true",
	} {
		t.Run(command, func(t *testing.T) {
			looked, err := Look([]string{"/bin/bash", "-c", command}, []string{"FOO=bar", "SECRET=" + secret, "DIR=" + dir, "PATH=/sbin:/bin:/usr/sbin:/usr/bin"}, 10*time.Second, 1000)
			got := fmt.Sprintf("%s|%s|%d|%t", looked.Output, looked.Errors, looked.Status, looked.Beyond)
			if looked.Beyond {
				got = fmt.Sprintf("%s|%s|%d|%t", looked.Output, "", looked.Status, looked.Beyond)
			}
			if err != nil || got != want {
				t.Errorf("got %q, want %q; %v", got, want, err)
			}
		})
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "seen" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := Look([]string{"/bin/sh", "-c", "sleep 60"}, nil, time.Second/2, 1000); !errors.Is(err, ErrTooLong) {
		t.Errorf("a command that sleeps: %v", err)
	}
	if _, err := Look([]string{"/bin/bash", "-c", "while :; do echo a; done"}, nil, 30*time.Second, 1000); !errors.Is(err, ErrTooMuch) {
		t.Errorf("a command that prints: %v", err)
	}
	if _, err := Look([]string{"/nowhere"}, nil, time.Second, 1000); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no command: %v", err)
	}
}
