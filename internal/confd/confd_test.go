package confd

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type values = map[string]string

// acceptedFiles are what people have in /etc/conf.d, and what is easily got
// wrong.
var acceptedFiles = []struct {
	name string
	src  string
	want values
}{
	{"nothing", "", values{}},
	{"blank lines and comments", "\n \t\n# netns=vpn\n  # more, with a backslash at the end \\\n#\n", values{}},
	{"a comment may hold any byte", "# caf\xe9 \x01 `date` $(date) \" ' \\\nnetns=vpn # \xe9 ' \"\n", values{"netns": "vpn"}},

	{"a plain word", "netns=vpn\n", values{"netns": "vpn"}},
	{"no newline at the end", "netns=vpn", values{"netns": "vpn"}},
	{"double quotes", `netns="vpn"`, values{"netns": "vpn"}},
	{"single quotes", `netns='vpn'`, values{"netns": "vpn"}},
	{"an absolute path", "netns=/proc/1234/ns/net\n", values{"netns": "/proc/1234/ns/net"}},
	{"all plain characters", "netns=aZ09_-+.,/:@%=\n", values{"netns": "aZ09_-+.,/:@%="}},
	{"a word that looks like another assignment", "netns=vrf=mgmt\n", values{"netns": "vrf=mgmt"}},
	{"a colon is no separator", "netns=a:b\n", values{"netns": "a:b"}},
	{"an empty value", "netns=\n", values{"netns": ""}},
	{"an empty value at the end of the file", "netns=", values{"netns": ""}},
	{"an empty value before a comment", "netns= # none\n", values{"netns": ""}},
	{"an empty value in quotes", "netns=\"\"\nvrf=''\n", values{"netns": "", "vrf": ""}},
	{"a list", `netns_hide="/run/avahi-daemon /run/dbus"`, values{"netns_hide": "/run/avahi-daemon /run/dbus"}},
	{"blanks in quotes stay", "netns_hide=\" \ta  b\t \"\n", values{"netns_hide": " \ta  b\t "}},
	{"quotes in quotes", "netns=\"it's\"\nvrf='a \"b\" c'\n", values{"netns": "it's", "vrf": `a "b" c`}},
	{"nothing is expanded in single quotes", "netns='$FOO ${BAR} `c` $(d)'\n", values{"netns": "$FOO ${BAR} `c` $(d)"}},
	{"a comment sign in quotes", "netns=\"a #b\" # c\n", values{"netns": "a #b"}},
	{"other alphabets in quotes", "netns=\"b\u00fcro\"\nvrf='\u6771\u4eac'\n", values{"netns": "b\u00fcro", "vrf": "\u6771\u4eac"}},
	{"wide blanks in quotes are no blanks", "netns=\"\u00a0a\u0085\"\n", values{"netns": "\u00a0a\u0085"}},
	{"blanks around a line", " \t netns=vpn \t \n", values{"netns": "vpn"}},
	{"the last assignment wins", "netns=a\nvrf=x\nnetns=\"b\"\n", values{"netns": "b", "vrf": "x"}},
	{"an assignment to nothing wins too", "netns=a\nnetns=\n", values{"netns": ""}},
	{"export", "export netns=vpn\n", values{"netns": "vpn"}},
	{"export of several", "export \t netns=vpn\nexport FOO\nexport BAR=\"$FOO\" # c\n", values{"netns": "vpn"}},
	{"export without a value", "netns=vpn\nexport netns\n", values{"netns": "vpn"}},
	{"other settings are not returned", "NETNS=a\nnetns2=b\nnetn=c\nxnetns=d\n", values{}},
	{"names that are reserved words", "if=a\ndo=b\nexport=c\nnetns=vpn\n", values{"netns": "vpn"}},

	{"settings in a string over several lines", "FOO=\"\nnetns=vpn\nvrf=mgmt\n\"\nBAR='\nnetns=vpn\n'\n", values{}},
	{"quotes that end and go on", "FOO=\"a\"b'c'\\ d\\\"$BAR\"e\"\nnetns=vpn\n", values{"netns": "vpn"}},
	{"escapes in double quotes", `FOO="\"a\" \$b \` + "`" + `c\` + "`" + ` \\"` + "\nnetns=vpn", values{"netns": "vpn"}},
	{"a backslash in single quotes", "FOO='a\\'\nnetns=vpn", values{"netns": "vpn"}},
	{"a regular expression", "FOO=\"^eth[0-9]+$\"\nBAR='\\.conf$'\nnetns=vpn", values{"netns": "vpn"}},
	{"expansions in other settings", "FOO=$BAR:${BAR}:${BAR:-a/b}${BAR-}${BAR:+-x}${BAR+}${BAR##*.}${BAR%/*}\nnetns=vpn\n", values{"netns": "vpn"}},
	{"characters that only a command would expand", "FOO=*.[ch]\nBAR={a,b}?!\nx=~/y^\nnetns=vpn\n", values{"netns": "vpn"}},
	{"a setting used by another", "netns=vpn\ncommand_args=\"--name ${netns} $vrf ${vrf:-none}\"\n", values{"netns": "vpn"}},

	{"sshd as on Gentoo", `# /etc/conf.d/sshd: config file for /etc/init.d/sshd

# Where is your sshd_config file stored?
SSHD_CONFDIR="${RC_PREFIX%/}/etc/ssh"
SSHD_CONFIG="${SSHD_CONFDIR}/sshd_config"

# Any random options you want to pass to sshd.
SSHD_OPTS="${SSHD_OPTS} -f /etc/ssh/sshd_config.vpn"
SSHD_PIDFILE="/run/${SVCNAME}.pid"

# Wait one second (length chosen arbitrarily) to see if sshd actually
# creates a PID file, or if it crashes for some reason like not being
# able to bind to the address in ListenAddress.
#SSHD_SSD_OPTS="--wait 1000"

rc_need="net.vpn"

netns=vpn			# set by ansible
vrf=mgmt
`, values{"netns": "vpn", "vrf": "mgmt"}},
	{"a daemon as on Alpine", `# configuration for /etc/init.d/resolverd

command_user="resolver:resolver" # user:group
supervisor=supervise-daemon

directory="/var/lib/resolverd"
cfgfile="$directory/resolverd.yaml"
#extra_args="--web-addr 0.0.0.0:3000 --logfile syslog"
output_log=/var/log/$RC_SVCNAME.log
command_args="--foo=$BAR --config=${cfgfile:-/etc/x.conf} --"

netns="vpn"
`, values{"netns": "vpn"}},
	{"arguments over several lines", `I2PD_USER=i2pd
rc_ulimit="-n 4096"

I2PD_OPTIONS="--daemon --service --pidfile=${I2PD_PID} \
--log=file --logfile=${I2PD_LOG} \
--conf=/etc/i2pd/i2pd.conf"
netns='vpn'
`, values{"netns": "vpn"}},
	{"cgroup settings", `rc_cgroup_settings="
memory.high 1G
memory.max 2G
io.max 8:16 rbps=2097152 wiops=120
"
rc_cgroup_cleanup="yes"
netns=vpn
netns_hide="/run/avahi-daemon"
netns_lock=yes
`, values{"netns": "vpn", "netns_hide": "/run/avahi-daemon", "netns_lock": "yes"}},
	{"a Java service", `JAVA_HOME=/opt/java
JAVA_OPTS="-Djava.library.path=$JAVA_HOME/lib -Xms1g -XX:NewRatio=1 -XX:+UseG1GC"
export JAVA_OPTS
export PGPASSFILE="/var/lib/app/.pgpass"
export URI_MAP="iiif=>IIIF"
netns=vpn
netns_etc=no
`, values{"netns": "vpn", "netns_etc": "no"}},
	{"interfaces as on Gentoo", `config_eth0="192.168.0.2/24
2001:db8::2/64"
routes_eth0="default via 192.168.0.1"
modules="iproute2 !ifconfig"
dns_servers_eth0='192.168.0.1'
rc_net_eth0_provide="!net"
postup_eth0=
`, values{}},
	{"host settings", "hostname=\"localhost\"\nclock=UTC\nclock_hctosys=\"YES\"\nkeymap=us\nextended_keymaps=\"\"\nfsck_args=\"-p\"\n" +
		"dump_after_load=NO\nmodules=\"loop fuse\"\nmodule_loop_args_2_6=\"max_loop=4\"\nrc_timeout_stopsec=90\n", values{}},
}

// refusedFiles are what only a shell can read, with the line.
var refusedFiles = []struct {
	name string
	src  string
	line int
}{
	{"several on a line", "netns=vpn vrf='mgmt'\tFOO=bar # all\n", 1},
	{"a locale", "name='b\u00fcro'\nexport LC_ALL=en_GB.UTF-8\nnetns=vpn\n", 2},
	{"a semicolon", "netns=vpn; export netns\n", 1},
	{"semicolons", "netns=\"vpn\";\nFOO=a;netns=b ; vrf=mgmt;# c\n", 1},
	{"a command elsewhere", "FOO=\"$(date +%s)\"\nnetns=vpn\nBAR=$(cat /etc/name)-x`date`\n", 1},
	{"mysql as on Gentoo", "[ \"$SVCNAME\" = mysql ] || rc_provide=\"!mysql\"\nnetns=vpn\n", 1},
	{"mysql as it comes", "[ \"${SVCNAME}\" != mysql ] && rc_provide=\"!mysql\"\n#rc_provide=\"mysql\"\nreturn 0\n# vim\n", 1},
	{"a return", "netns=vpn\nreturn # c\nnetns=evil\nif (\n", 2},
	{"a return at the end", "netns=vpn\nreturn", 2},
	{"a return on a condition", "netns=vpn\n[ x ] && return 0\nFOO=a\nif [ y ]; then return; fi\nreturn\n", 2},
	{"conditions", "[ -n \"$FOO\" ] && BAR=a\n[ ! -e /x ] && [ \"$FOO\" != a ] ||\n\t# c\n\texport BAR\nnetns=vpn && [ x ]\n: a\n", 1},
	{"a condition last", "netns=vpn\n[ -e /nowhere ] && FOO=a\n", 2},
	{"defaults", ": ${FOO:=bar} \"${BAR:=$FOO}\"\n: \"${cfgfile=/etc/x.conf}\"; :\nnetns=vpn\n", 1},
	{"if", "netns=vpn\nif [ -e /nowhere ]; then\n\tFOO=a\nelif [ \"$FOO\" = b ]\nthen FOO=\"$(date)\"; else # c\n\t[ -d / ] && BAR=b\n\tif [ x ]; then : ; fi\nfi; vrf=mgmt\n", 2},

	{"a variable", "netns=$tunnel\n", 1},
	{"a variable in quotes", "\n\nnetns=\"$TUNNEL\"\n", 3},
	{"a default", "netns=${FOO:-vpn}\n", 1},
	{"itself", "netns=\"${netns}\"\n", 1},
	{"a command", "netns=$(cat /etc/name)\n", 1},
	{"a command in backquotes", "netns=\"`cat /etc/name`\"\n", 1},
	{"a word in C quotes", "netns=$'vpn'\n", 1},
	{"a backslash", "netns=v\\pn\n", 1},
	{"a backslash in double quotes", "netns=\"v\\pn\"\n", 1},
	{"a backslash in single quotes, which godotenv takes for an escape", "netns='vpn\\'\n", 1},
	{"a continued line", "netns=vpn\\\nx\n", 1},
	{"quotes in part, first", "netns=\"v\"pn\n", 1},
	{"quotes in part, last", "netns=v'pn'\n", 1},
	{"two pairs of quotes", "netns='v'\"pn\"\n", 1},
	{"several lines", "netns=\"vpn\nx\"\n", 1},
	{"a comment sign in the word", "netns=vpn#home\n", 1},
	{"a tilde", "netns=~\n", 1},
	{"a pattern", "netns=vp*\n", 1},
	{"braces", "export netns={a,b}\n", 1},
	{"a wide blank", "netns=vpn\u00a0\n", 1},
	{"a form feed", "netns=vpn\f\n", 1},
	{"a control character", "netns='v\x01pn'\n", 1},
	{"a byte that is not UTF-8", "netns='caf\xe9'\n", 1},
	{"an array", "netns=(vpn)\n", 1},
	{"unfinished quotes", "FOO=bar\nnetns=\"vpn\nvrf=mgmt\n", 2},
	{"unfinished quotes at the end", "netns='vpn", 1},

	{"a blank before the equals sign", "netns =vpn\n", 1},
	{"blanks around the equals sign", "netns = vpn\n", 1},
	{"a blank after the equals sign", "netns= vpn\n", 1},
	{"YAML", "netns: vpn\n", 1},
	{"appending", "netns+=vpn\n", 1},
	{"an element", "netns[0]=vpn\n", 1},
	{"a bad name", "FOO=bar\n1netns=vpn\n", 2},
	{"a command with a setting", "netns=vpn true\n", 1},
	{"a command", "FOO=\"\n\n\"\nmodprobe tun\n", 4},
	{"a condition", "if [ -e /etc/vpn ]; then\nnetns=vpn\nfi\n", 1},
	{"a condition for another", "if [ x ]; then FOO=a; else\nnetns=vpn\nfi\n", 1},
	{"a test", "[ -e /etc/vpn ] && netns=vpn\n", 1},
	{"an alternative", "FOO=a || export netns=vpn\n", 1},
	{"a setting after a return that may be", "[ x ] && return 0\nnetns=vpn\n", 1},
	{"a return that fails", "FOO=a\nreturn 1\n", 2},
	{"a return and more", "return 0; FOO=a\n", 1},
	{"a default for a setting", ": ${netns:=vpn}\n", 1},
	{"a condition that is a command", "if grep -q x /etc/fstab; then FOO=a; fi\n", 1},
	{"a condition without an end", "\nif [ x ]; then\nFOO=a\n", 2},
	{"a condition without a command", "if [ x ]; then\nfi\n", 1},
	{"a test without quotes", "[ $FOO = a ] && BAR=a\n", 1},
	{"a test of bash", "[ -v FOO ] && BAR=a\n", 1},
	{"a test of many words", "[ a = b -o c = d ] && BAR=a\n", 1},
	{"a test without an end", "[ x\n", 1},
	{"a pipe", "FOO=a | BAR=b\n", 1},
	{"two semicolons", "FOO=a;; BAR=b\n", 1},
	{"a semicolon first", "; FOO=a\n", 1},
	{"a call of a function", "f() { netns=vpn; }\nf\n", 1},
	{"a function called export", "export() { netns=evil; }\n", 1},
	{"a function without an end", "\nf() {\n:\n", 2},
	{"a function in braces of bash", "f() {\n[[ a ]]\n}\n", 1},
	{"brackets of bash as an argument in a function", "f() {\na [[ b || if x; then c; fi\n}\n", 1},
	{"a number before a redirection in a function", "f() {\na >2>&1\n}\n", 1},
	{"a here-document in a function", "f() {\ncat <<x\n}\nx\n}\n", 1},
	{"an array in a function", "f() {\na=(b)\n}\n", 1},
	{"a command of more than words", "FOO=\"$(date | cat)\"\n", 1},
	{"a command that is none", "FOO=\"$(if)\"\n", 1},
	{"a group", "{ netns=vpn\n}\n", 1},
	{"another file", "# c\n. /etc/conf.d/common\n", 2},
	{"unset", "netns=vpn\nunset netns\n", 2},
	{"a continued line of its own", "netns=vpn \\\nvrf=x\n", 1},
	{"a redirection", ">x netns=vpn\n", 1},
	{"a here-document", "FOO=<<x\nnetns=vpn\nx\n", 1},
	{"a name in quotes", "\"netns\"=vpn\n", 1},
	{"a wide blank before the name", "\u00a0netns=vpn\n", 1},
	{"export alone", "export # all\n", 1},
	{"an option of export", "export -n netns=vpn\n", 1},
	{"export after an assignment", "netns=vpn export FOO=a\n", 1},
	{"readonly", "readonly netns=vpn\n", 1},
	{"local", "local netns=vpn\n", 1},

	{"export of a command", "export FOO=$(date)\n", 1},
	{"arithmetic elsewhere", "FOO=$((netns=5))\n", 1},
	{"an assignment in an expansion", "FOO=${netns:=vpn}\n", 1},
	{"an assignment in a default", "FOO=\"\n${BAR:-${netns=vpn}}\"\n", 1},
	{"an expansion that may exit", "FOO=${BAR?}\n", 1},
	{"an expansion of bash alone", "FOO=\"${BAR/a/b}\"\n", 1},
	{"quotes in an expansion", "FOO=\"${BAR:-'}'}\"\n", 1},
	{"an expansion without an end", "FOO=\"${BAR:-a\"\n", 1},
	{"a name broken over two lines", "FOO=\"${BAR\\\n:=x}\"\n", 1},
	{"a dollar sign broken over two lines", "FOO=\"$\\\n(date)\"\n", 1},
	{"a parameter of the shell", "FOO=\"$@\"\n", 1},
	{"a dollar sign outside quotes", "FOO=$\n", 1},
	{"quotes after a dollar sign", "FOO=$\"bar\"\n", 1},
	{"export of what may be split into words", "FOO='a netns=evil'\nexport BAR=$FOO\n", 2},
	{"export of braces, which bash expands", "export BAR={a,b}{a,b}\n", 1},
	{"a continued line elsewhere", "FOO=a\\\nb\n", 1},
	{"a backslash at the end of the file", "FOO=a\\", 1},
	{"a background command", "FOO=a&netns=vpn\n", 1},
	{"letters outside quotes that are not ASCII", "FOO=b\u00fcro\n", 1},
	{"a byte outside quotes that is not UTF-8", "FOO=caf\xe9\n", 1},
	{"unfinished quotes elsewhere", "a=1\nFOO=\"b\nnetns=vpn\n# \n", 2},
	{"unfinished quotes after a backslash", "FOO=\"b\\", 1},
	{"unfinished single quotes elsewhere", "FOO='b\n\n", 1},
	{"a control character elsewhere", "FOO=\"\n\x7f\"\n", 1},
	{"a byte that is not UTF-8 elsewhere", "FOO=\"\\\xe3\"\n", 1},
	{"other alphabets after a change of locale", "LANG=ja_JP.SJIS\nFOO=\"\u3042\\${x}\"\n", 1},

	{"a read-only variable", "UID=0\n", 1},
	{"a number that the shell checks", "OPTIND=x\n", 1},
	{"an expression that assigns", "RANDOM='netns=5'\n", 1},
	{"a field separator", "export IFS=:\n", 1},
	{"a setting of bash", "BASH_COMPAT=31\n", 1},

	{"DOS line ends", "# c\nnetns=vpn\r\n", 1},
	{"a carriage return in a comment", "# c\r\n", 1},
	{"a carriage return in quotes", "FOO='\n\r'\n", 1},
	{"a byte order mark", "\ufeffnetns=vpn\n", 1},
	{"a NUL byte", "netns=vpn\n#\x00\n", 1},
}

func TestParse(t *testing.T) {
	shells := startShells(t, settings)
	for _, file := range acceptedFiles {
		t.Run(file.name, func(t *testing.T) {
			got, err := Parse([]byte(file.src), settings)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(file.want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			for _, s := range shells {
				s.agree(t, []byte(file.src), settings, got)
			}
		})
	}
}

func TestParseRefusesWhatOnlyAShellCanRead(t *testing.T) {
	for _, file := range refusedFiles {
		t.Run(file.name, func(t *testing.T) {
			got, err := Parse([]byte(file.src), settings)
			var shell *ShellError
			if !errors.As(err, &shell) {
				t.Fatalf("got %q and error %v, want a ShellError", got, err)
			}
			if got != nil {
				t.Errorf("values %q beside the error", got)
			}
			if shell.Line != file.line {
				t.Errorf("got line %d, want line %d", shell.Line, file.line)
			}
		})
	}
}

func TestParseReadsLongLines(t *testing.T) {
	long := strings.Repeat("a", 300_000)
	src := []byte("FOO=" + long + "\nBAR='" + long + "'\n# " + long + "\nnetns_hide=\"" + long + "\"\n")
	got, err := Parse(src, settings)
	if err != nil {
		t.Fatal(err)
	}
	if got["netns_hide"] != long {
		t.Errorf("netns_hide has %d bytes, want %d", len(got["netns_hide"]), len(long))
	}
	for _, s := range startShells(t, settings) {
		s.agree(t, src, settings, got)
	}
}

func TestReadFileReadsTheFile(t *testing.T) {
	path := write(t, "netns=vpn\n")
	got, err := ReadFile(path, settings)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values{"netns": "vpn"}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestReadFileNamesFileAndLine(t *testing.T) {
	path := write(t, "FOO=bar\n\nnetns=$tunnel\n")
	_, err := ReadFile(path, settings)
	want := `"` + path + `", line 3: only a shell can read this`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestReadFileRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"a directory", func(t *testing.T, path string) {
			check(t, os.Mkdir(path, 0o755))
		}, "is a directory"},
		{"a FIFO, without waiting for a writer", func(t *testing.T, path string) {
			check(t, syscall.Mkfifo(path, 0o644))
		}, "is not a regular file"},
		{"a device", func(t *testing.T, path string) {
			check(t, os.Symlink(os.DevNull, path))
		}, "is not a regular file"},
		{"a socket", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			check(t, err)
			t.Cleanup(func() { l.Close() })
		}, "is not a regular file"},
		{"a file that is too large", func(t *testing.T, path string) {
			check(t, os.WriteFile(path, []byte("#"+strings.Repeat("a", MaxSize)), 0o644))
		}, "is larger than 1048576 bytes"},
		{"a binary file", func(t *testing.T, path string) {
			check(t, os.WriteFile(path, []byte("\x7fELF\x00"), 0o644))
		}, "line 1: only a shell can read this"},
		{"a link to itself", func(t *testing.T, path string) {
			check(t, os.Symlink(path, path))
		}, "too many levels of symbolic links"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sshd")
			test.make(t, path)
			got, err := ReadFile(path, settings)
			if err == nil {
				t.Fatalf("got %q, want an error", got)
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %q, want the path and %q", err, test.want)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is taken for a missing file", err)
			}
		})
	}
}

func TestReadFileAcceptsALargeFile(t *testing.T) {
	path := write(t, "netns=vpn\n#"+strings.Repeat("a", MaxSize-len("netns=vpn\n#")))
	if _, err := ReadFile(path, settings); err != nil {
		t.Error(err)
	}
}

func TestReadFileTellsAMissingFile(t *testing.T) {
	_, err := ReadFile(filepath.Join(t.TempDir(), "sshd"), settings)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestReadFileTellsAnUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can read every file")
	}
	path := write(t, "netns=vpn\n")
	check(t, os.Chmod(path, 0))
	if _, err := ReadFile(path, settings); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission", err)
	}
}

func BenchmarkParse(b *testing.B) {
	src := []byte(strings.Repeat("# A comment, as long as most of them are in such files.\nFOO=\"${FOO} -x\"\n", 40) + "netns=vpn\n")
	for b.Loop() {
		if _, err := Parse(src, settings); err != nil {
			b.Fatal(err)
		}
	}
}

// write returns the path of a new conf.d file.
func write(t *testing.T, src string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sshd")
	check(t, os.WriteFile(path, []byte(src), 0o644))
	return path
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
