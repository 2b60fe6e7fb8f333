package preflight

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPidfilesOfScripts(t *testing.T) {
	for script, want := range map[string]string{
		"pidfile=/run/dnsmasq.pid\n":         "/run/dnsmasq.pid",
		"pidfile=\"/run/$RC_SVCNAME.pid\"\n": "/run/web.vpn.pid",
		"pidfile=/var/lib/x.pid\n":           "/var/lib/x.pid",
		"pidfile='/run/x.pid'\n":             "/run/x.pid",
		"PIDFILE=/run/x.pid\nstart() {\n\tstart-stop-daemon --pidfile ${PIDFILE}\n": "/run/x.pid",
		"start-stop-daemon --start --pidfile=/run/a.pid\n--pidfile \"/run/b.pid\"":  "/run/a.pid /run/b.pid",
		": ${pidfile:=/run/x.pid}\n":                                            "/run/x.pid",
		"pidfile=${pidfile:-/run/x.pid}\n":                                      "/run/x.pid",
		"pidfile=\"${RC_PREFIX%/}/run/x.pid\"\n":                                "",
		"pidfile=${OTHER}/x.pid\n":                                              "",
		"pidfile=$(cat /etc/which)\n":                                           "",
		"# pidfile=/run/x.pid\n":                                                "",
		"case x in\na) pidfile=/run/a.pid ;;\nb) pidfile=/run/b.pid ;;\nesac\n": "",
		"dir=/run/$SVCNAME\npidfile=$dir/pid\n":                                 "/run/web.vpn/pid",
		"pidfile=\"$pidfile\"\n":                                                "",
	} {
		path := filepath.Join(t.TempDir(), "web")
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(readPidfiles("web.vpn", path).paths(), " "); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}

func TestNamesInVariables(t *testing.T) {
	const script = "name=$SVCNAME\ncase $name in\niptables | ip6tables) ;;\n*) name=\"iptables\" ;;\nesac\nrc-service ${name} stop\n"
	for service, want := range map[string]bool{"iptables.vpn": true, "ip6tables": false} {
		s := serviceCheck{Service: Service{Name: service}}
		if got := s.mayHold("${name}", "iptables", script); got != want {
			t.Errorf("%s: %v, want %v", service, got, want)
		}
		if s.mayHold("${name}", "ipset", script) || s.mayHold("$other", "iptables", script) || s.mayHold("name", "iptables", script) {
			t.Errorf("%s: another name", service)
		}
	}
}

func TestCallsOfServices(t *testing.T) {
	for line, want := range map[string]string{
		"\trc-service iptables stop\n":               "iptables stop",
		"service \"iptables\" restart || return\n":   "iptables restart",
		"/sbin/rc-service --quiet iptables reload\n": "iptables reload",
		"[ x ] && /etc/init.d/iptables save\n":       "iptables save",
		"rc-service \"$RC_SVCNAME\" stop\n":          "$RC_SVCNAME stop",
		"\t\trc-service ${iptables_name} stop\n":     "${iptables_name} stop",
		"service_started iptables && x\n":            "",
	} {
		got := ""
		if m := match().called.FindStringSubmatch(line); m != nil {
			got = m[1] + " " + m[2]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if !match().spoken.MatchString("\teinfo \"see ") || match().spoken.MatchString("[ -e /x ] && ") {
		t.Error("what is said is not told from what is done")
	}
}
