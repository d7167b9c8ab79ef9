package view

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carob/internal/testenv"
)

// browser is a headless Chromium, spoken to in the DevTools protocol through pipes:
// messages in JSON with a zero byte behind each.
type browser struct {
	t       *testing.T
	in      io.WriteCloser
	out     *bufio.Reader
	session string
	id      int
	// said are the messages of the page's console and its errors.
	said []string
}

// chromium opens a page, or skips the test where there is none.
func chromium(t *testing.T, address string) *browser {
	t.Helper()
	testenv.Require(t, testenv.Chromium)
	program, err := testenv.ChromiumPath()
	if err != nil {
		t.Fatal(err)
	}
	toRead, toWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromRead, fromWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "carob-view-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
		"--disable-background-networking", "--no-first-run", "--window-size=1280,900", "--user-data-dir="+dir, "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, fromWrite} // 3 and 4
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toRead.Close()
	fromWrite.Close()
	b := &browser{t: t, in: toWrite, out: bufio.NewReader(fromRead)}
	t.Cleanup(func() {
		b.session = ""
		_, _ = b.in.Write([]byte(`{"id":1000000,"method":"Browser.close"}` + "\x00"))
		_ = cmd.Wait() // killed by ctx if it does not close
		cancel()
		toWrite.Close()
		fromRead.Close()
		// Its other processes may still write for a moment.
		err := os.RemoveAll(dir)
		for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); err = os.RemoveAll(dir) {
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	})
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})["targetId"]
	b.session = b.call("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true})["sessionId"].(string)
	b.call("Runtime.enable", nil)
	b.call("Log.enable", nil)
	b.call("Page.enable", nil)
	b.call("Page.navigate", map[string]any{"url": address})
	return b
}

// call sends a command and reads until its answer.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.id++
	m := map[string]any{"id": b.id, "method": method, "params": params}
	if params == nil {
		delete(m, "params")
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		line, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: the browser has ended: %v", method, err)
		}
		var answer struct {
			ID     int
			Method string
			Result map[string]any
			Error  map[string]any
		}
		if err := json.Unmarshal(bytes.TrimRight(line, "\x00"), &answer); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case answer.ID == b.id && answer.Error != nil:
			b.t.Fatalf("%s: %v", method, answer.Error)
		case answer.ID == b.id:
			return answer.Result
		case strings.HasPrefix(answer.Method, "Runtime.exception"), answer.Method == "Runtime.consoleAPICalled", answer.Method == "Log.entryAdded":
			b.said = append(b.said, string(line))
		}
	}
}

// eval is the value of an expression in the page, as JSON has it.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	r := b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true})
	if r["exceptionDetails"] != nil {
		b.t.Fatalf("%s: %v", expression, r["exceptionDetails"])
	}
	return r["result"].(map[string]any)["value"]
}

// await waits until an expression is true.
func (b *browser) await(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for b.eval("Boolean("+expression+")") != true {
		if time.Now().After(deadline) {
			b.t.Fatalf("never true: %s\nstate: %v\nsaid: %v", expression, b.eval("document.getElementById('state')?.textContent"), b.said)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// key presses a key as a person would.
func (b *browser) key(name string) {
	b.t.Helper()
	code := map[string]int{"Enter": 13, "Escape": 27, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "ArrowUp": 38}[name]
	p := map[string]any{"key": name, "code": name, "windowsVirtualKeyCode": code}
	if len(name) == 1 {
		p["text"] = name
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		p["type"] = kind
		b.call("Input.dispatchKeyEvent", p)
	}
}

// click presses the mouse in the middle of an element's upper edge, where no other lies
// over it.
func (b *browser) click(selector string) {
	b.t.Helper()
	at := b.eval(fmt.Sprintf(`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.left + r.width / 2, r.top + Math.min(r.height / 2, 6)]; })()`, selector)).([]any)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1})
	}
}

// shoot keeps a picture of the page where CAROB_SHOTS names a directory.
func (b *browser) shoot(name string) {
	dir := os.Getenv("CAROB_SHOTS")
	if dir == "" {
		return
	}
	png, err := base64.StdEncoding.DecodeString(b.call("Page.captureScreenshot", nil)["data"].(string))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+name+".png", png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

const focused = `document.activeElement.dataset.key`

// TestPage uses the page as a person does, with mouse and keyboard, while the host
// changes.
func TestPage(t *testing.T) {
	h := start(t)
	b := chromium(t, h.url)
	b.await(`document.querySelector('#drawing svg')`)
	b.await(`document.getElementById('state').textContent === 'live'`)
	b.shoot("host")

	// What a process calls itself is text, and was never run.
	b.await(`[...document.querySelectorAll('#drawing title')].some(e => e.textContent.includes('<script>document.title="caught"</script>'))`)
	if title := b.eval(`document.title`); title != "host node-1 · carob view" {
		t.Errorf("the title is %q", title)
	}
	if n := b.eval(`document.querySelectorAll('#drawing script, #drawing img, img').length`); n != float64(0) {
		t.Errorf("%v elements came out of a text", n)
	}

	// A click shows details, and they say what is true.
	app := `[data-key="container-` + appID + `"]`
	b.click(app)
	b.await(`!document.getElementById('details').hidden && document.getElementById('rows').textContent.includes('4026540000, shared with')`)
	b.shoot("details")
	if got := b.eval(`document.getElementById('rows').textContent`).(string); !strings.Contains(got, "4026540001, its own") || !strings.Contains(got, "8MiB of 256MiB") {
		t.Errorf("details say %q", got)
	}

	// The drawing and the details live; the shapes that stay are the same elements.
	b.eval(`window.kept = document.querySelector('` + app + `')`)
	h.use(t, "201326592")
	b.await(`document.getElementById('drawing').textContent.includes('192MiB of 256MiB')`)
	b.await(`document.getElementById('rows').textContent.includes('192MiB of 256MiB')`)
	if b.eval(`window.kept === document.querySelector('`+app+`') && window.kept.isConnected`) != true {
		t.Error("a change replaced what had not changed")
	}

	// Escape closes and gives the focus back; arrows move; Enter opens; one stop for Tab.
	b.key("Escape")
	b.await(`document.getElementById('details').hidden && ` + focused + ` === "container-` + appID + `"`)
	b.key("ArrowDown")
	b.await(focused + ` !== "container-` + appID + `" && document.getElementById('drawing').contains(document.activeElement)`)
	b.key("Enter")
	b.await(`!document.getElementById('details').hidden && document.activeElement.id === 'details'`)
	if n := b.eval(`document.querySelectorAll('#drawing [tabindex="0"]').length`); n != float64(1) {
		t.Errorf("%v places in the drawing for Tab", n)
	}
	if n := b.eval(`[...document.querySelectorAll('#drawing [data-key]')].filter(e => e.getAttribute('role') !== 'button' || !e.getAttribute('aria-label')).length`); n != float64(0) {
		t.Errorf("%v shapes have no role or name", n)
	}
	b.key("Escape")

	// A text that somebody marks stays marked while the drawing changes around it.
	b.eval(`(() => { const text = [...document.querySelectorAll('#drawing text')].find(e => e.textContent === 'foo'); getSelection().selectAllChildren(text); })()`)
	h.use(t, "134217728")
	b.await(`document.getElementById('drawing').textContent.includes('128MiB of 256MiB')`)
	if got := b.eval(`getSelection().toString()`); got != "foo" {
		t.Errorf("%q is marked", got)
	}
	b.eval(`getSelection().removeAllRanges()`)

	// Finding marks the pods and containers whose words have what is typed, and goes there.
	b.key("/")
	b.await(`document.activeElement.id === 'find'`)
	b.call("Input.insertText", map[string]any{"text": "BIN/side"})
	b.await(`[...document.querySelectorAll('#drawing .hit')].map(e => e.dataset.key).join() === "container-` + sideID + `"`)
	b.key("Enter")
	b.await(focused + ` === "container-` + sideID + `"`)
	b.shoot("found")
	b.eval(`document.getElementById('find').focus()`)
	b.key("Escape")
	b.await(`document.querySelectorAll('#drawing .hit').length === 0 && document.getElementById('drawing').contains(document.activeElement)`)

	// Sizes.
	before := b.eval(`document.querySelector('#drawing svg').getBoundingClientRect().width`).(float64)
	b.key("+")
	b.key("+")
	b.await(fmt.Sprintf(`document.querySelector('#drawing svg').getBoundingClientRect().width > %g`, before*1.2))
	b.key("0")
	b.await(`document.getElementById('drawing').classList.contains('fit')`)

	// A pod alone, and back.
	b.click(`[data-key="pod-` + podID + `"]`)
	b.await(`document.getElementById('is').textContent === 'pod'`)
	b.eval(`document.getElementById('alone').click()`)
	b.await(`document.getElementById('title').textContent === 'pod foo'`)
	b.shoot("pod")
	b.eval(`history.back()`)
	b.await(`document.getElementById('title').textContent === 'host node-1'`)
	for _, s := range b.said {
		t.Errorf("the page said %s", s)
	}
}

// TestPageDark looks at a page on a dark screen, and at one whose server is gone.
func TestPageDark(t *testing.T) {
	h := start(t)
	b := chromium(t, "about:blank")
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}})
	b.call("Page.navigate", map[string]any{"url": h.url})
	b.await(`document.querySelector('#drawing svg')`)
	b.shoot("dark")
	for _, of := range []string{"document.body", "document.querySelector('#drawing rect')"} {
		property := "backgroundColor"
		if of != "document.body" {
			property = "fill"
		}
		if got := b.eval(`getComputedStyle(` + of + `).` + property); got != "rgb(14, 17, 22)" {
			t.Errorf("%s is %v on a dark screen", of, got)
		}
	}
	if b.eval(`document.getElementById('state').classList.contains('lost')`) == true {
		t.Error("a page whose server is there says it is not")
	}
	h.stop()
	b.await(`document.getElementById('state').classList.contains('lost')`)
}
