//go:build browser

// Chromium looks at the page: go test -tags browser ./posetest/report (make page). CHROMIUM names the program, and
// POSETEST_PAGE another page than the hand-made one. With -artifacts -outputdir DIR the screenshots stay.
package report

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBrowser(t *testing.T) {
	path, _ := filepath.Abs(os.Getenv("POSETEST_PAGE"))
	if os.Getenv("POSETEST_PAGE") == "" {
		path = filepath.Join(t.TempDir(), "index.html")
		require.NoError(t, os.WriteFile(path, htmlOf(t, full(t)), 0o644))
	}
	b := startBrowser(t)
	page := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()

	for _, look := range []struct {
		name, scheme string
		width        int
		script       bool
	}{
		{"light", "light", 1400, true},
		{"dark", "dark", 1400, true},
		{"phone", "light", 390, true},
		{"phone-dark", "dark", 390, true},
		{"no-script", "light", 1400, false},
	} {
		t.Run(look.name, func(t *testing.T) {
			b.call(t, "Emulation.setScriptExecutionDisabled", map[string]any{"value": !look.script})
			b.call(t, "Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": look.scheme}}})
			b.call(t, "Emulation.setDeviceMetricsOverride", map[string]any{"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 500})
			b.open(t, page)
			assert.Equal(t, []any{}, b.eval(t, missingTargets), "links that lead nowhere")
			assert.Equal(t, []any{}, b.eval(t, namelessThings), "things that a screen reader can't name")
			assert.Equal(t, []any{}, b.eval(t, paleTexts), "texts whose contrast is below 4.5")
			assert.Equal(t, true, b.eval(t, `document.documentElement.scrollWidth <= innerWidth`), "the page is wider than the window")
			b.screenshot(t, look.name)

			// Each cell has an address, which opens it.
			closed := b.eval(t, `(() => { const wrong = []; for (const cell of document.querySelectorAll(".cell")) {
				if (getComputedStyle(cell).display !== "none") wrong.push("open before: " + cell.id); } return wrong })()`)
			assert.Equal(t, []any{}, closed)
			ids := b.eval(t, `[...document.querySelectorAll(".cell")].map(c => c.id)`).([]any)
			require.NotEmpty(t, ids)
			for i, id := range ids {
				if i%max(1, len(ids)/12) != 0 {
					continue
				}
				address, _ := json.Marshal("#" + id.(string))
				b.eval(t, `location.hash = `+string(address))
				assert.Equal(t, id, b.eval(t, `(() => { const c = document.querySelector(".cell:target"); return c && getComputedStyle(c).display === "block" && c === document.activeElement ? c.id : "not open, or not focused" })()`))
				assert.Equal(t, []any{}, b.eval(t, paleTexts), "texts of %s whose contrast is below 4.5", id)
			}
			b.screenshot(t, look.name+"-cell")
			if look.script {
				b.key(t, "Escape")
				assert.Equal(t, true, b.eval(t, `!document.querySelector(".cell:target") && document.activeElement.id.startsWith("at/")`), "Escape closes the cell and goes back to where it was opened")
			}
		})
	}

	b.call(t, "Emulation.setScriptExecutionDisabled", map[string]any{"value": false})
	b.call(t, "Emulation.clearDeviceMetricsOverride", nil)
	t.Run("keyboard", func(t *testing.T) {
		b.open(t, page)
		for range 60 {
			b.key(t, "Tab")
			if b.eval(t, `document.activeElement.matches(".matrix a.chip")`) == true {
				break
			}
		}
		require.Equal(t, true, b.eval(t, `document.activeElement.matches(".matrix a.chip:focus-visible")`), "Tab reaches the matrix, and focus shows")
		b.key(t, "Enter")
		require.Equal(t, true, b.eval(t, `!!document.querySelector(".cell:target")`), "Enter opens a cell")
		b.key(t, "Tab")
		require.Equal(t, true, b.eval(t, `document.activeElement.matches(".cell:target .close")`), "the next thing is how to close it")
		b.key(t, "Enter")
		require.Equal(t, true, b.eval(t, `!document.querySelector(".cell:target")`), "and it closes")
	})
	t.Run("filters", func(t *testing.T) {
		b.open(t, page)
		for _, filter := range b.eval(t, `[...document.querySelectorAll("#filters select")].map(s => s.name)`).([]any) {
			wrong := b.eval(t, fmt.Sprintf(`(() => { const s = document.querySelector("select[name=%s]"), wrong = [];
				for (const o of s.options) {
					s.value = o.value; s.dispatchEvent(new Event("change", {bubbles: true}));
					const seen = [...document.querySelectorAll(".matrix td[data-class]:not(.none)")].filter(c => c.checkVisibility() && !c.classList.contains("off")).length;
					if (document.getElementById("shown").value !== seen + " cells" || seen === 0) wrong.push(o.value + ": " + seen);
				}
				s.form.reset(); return wrong })()`, filter))
			assert.Equal(t, []any{}, wrong, "numbers of cells shown for each choice of %s", filter)
		}
	})
	t.Run("print", func(t *testing.T) {
		b.open(t, page)
		var pdf struct{ Data string }
		require.NoError(t, json.Unmarshal(b.call(t, "Page.printToPDF", map[string]any{"preferCSSPageSize": true}), &pdf))
		text, err := base64.StdEncoding.DecodeString(pdf.Data)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), "print.pdf"), text, 0o644))
	})

	assert.Empty(t, b.console, "what the console says")
	for _, request := range b.requests {
		assert.True(t, request == page || strings.HasPrefix(request, "data:image/jpeg;"), "the page asks for %.100s", request)
	}
}

const missingTargets = `(() => { const wrong = [], ids = new Set();
	for (const e of document.querySelectorAll("[id]")) { if (ids.has(e.id)) wrong.push("twice: " + e.id); ids.add(e.id); }
	for (const a of document.querySelectorAll("a")) {
		const href = a.getAttribute("href");
		if (href.startsWith("#") ? !document.getElementById(decodeURIComponent(href.slice(1))) : !/^https:\/\/[^\s]+$/.test(href)) wrong.push(href);
	}
	return wrong })()`

const namelessThings = `(() => { const wrong = [];
	const say = (why, e) => wrong.push(why + ": " + e.outerHTML.slice(0, 120));
	for (const a of document.querySelectorAll("a:not([aria-hidden])")) if (!a.textContent.trim()) say("link without a name", a);
	for (const i of document.querySelectorAll("img")) if (!i.alt) say("picture without words", i);
	for (const s of document.querySelectorAll("select")) if (!s.labels.length) say("choice without a label", s);
	for (const t of document.querySelectorAll("table")) if (!t.caption) say("table without a caption", t);
	for (const h of document.querySelectorAll("th")) if (!h.scope) say("header without a scope", h);
	for (const r of document.querySelectorAll("[role=region],[role=group]")) if (!r.getAttribute("aria-label")) say("region without a name", r);
	for (const r of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(r.getAttribute("aria-labelledby"))) say("name that is not there", r);
	return wrong })()`

// paleTexts are texts that can be seen whose contrast to what is behind them is below what WCAG 2 AA asks for.
const paleTexts = `(() => { const wrong = new Set();
	const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
	const walk = document.createTreeWalker(document.querySelector(".cell:target") || document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const e = n.parentElement;
		if (!n.data.trim() || e.closest("script,style") || !e.checkVisibility()) continue;
		let behind = null, opacity = 1;
		for (let p = e; p; p = p.parentElement) {
			const style = getComputedStyle(p), b = rgb(style.backgroundColor);
			opacity *= +style.opacity;
			if (!behind && b.length && b[3] !== 0) behind = b.slice(0, 3);
		}
		behind = behind || [255, 255, 255];
		const style = getComputedStyle(e);
		const ink = rgb(e.closest("svg") ? style.fill : style.color).slice(0, 3).map((v, i) => v * opacity + behind[i] * (1 - opacity));
		const [a, b] = [light(ink), light(behind)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) wrong.add(ratio.toFixed(2) + " " + (e.getAttribute("class") || e.tagName));
	}
	return [...wrong] })()`

// A browser is a Chromium that is spoken to through a pipe, as its --remote-debugging-pipe has it: JSON with a zero byte
// behind.
type browser struct {
	to       io.Writer
	messages chan message
	session  string
	id       int
	console  []string
	requests []string
}

type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

func startBrowser(t *testing.T) *browser {
	program := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); program == "" && err == nil {
			program = path
		}
	}
	require.NotEmpty(t, program, "no Chromium on the PATH; install one, such as by apt-get install chromium, or set CHROMIUM")
	theirIn, in, err := os.Pipe()
	require.NoError(t, err)
	out, theirOut, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	var log bytes.Buffer
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	theirIn.Close()
	theirOut.Close()
	b := &browser{to: in, messages: make(chan message, 4096)}
	go func() {
		defer close(b.messages)
		r := bufio.NewReaderSize(out, 1<<20)
		for {
			text, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) == nil {
				b.messages <- m
			}
		}
	}()
	t.Cleanup(func() {
		if t.Failed() && testing.Verbose() {
			t.Log(log.String())
		}
		b.id++
		fmt.Fprintf(in, `{"id":%d,"method":"Browser.close"}`+"\x00", b.id)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-done
		}
		in.Close()
	})
	var target struct{ TargetID, SessionID string }
	require.NoError(t, json.Unmarshal(b.call(t, "Target.createTarget", map[string]any{"url": "about:blank"}), &target))
	require.NoError(t, json.Unmarshal(b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &target))
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(t, domain+".enable", nil)
	}
	return b
}

// call asks for one thing and returns its result.
func (b *browser) call(t *testing.T, method string, params map[string]any) json.RawMessage {
	t.Helper()
	b.id++
	request := map[string]any{"id": b.id, "method": method}
	if params != nil {
		request["params"] = params
	}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	text, err := json.Marshal(request)
	require.NoError(t, err)
	_, err = b.to.Write(append(text, 0))
	require.NoError(t, err)
	for {
		m := b.next(t)
		if m.ID == b.id {
			require.Empty(t, string(m.Error), method)
			return m.Result
		}
	}
}

// next is the next message; events are noted.
func (b *browser) next(t *testing.T) message {
	t.Helper()
	select {
	case m, ok := <-b.messages:
		require.True(t, ok, "the browser is gone")
		switch m.Method {
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			b.console = append(b.console, string(m.Params))
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			require.NoError(t, json.Unmarshal(m.Params, &p))
			b.requests = append(b.requests, p.Request.URL)
		}
		return m
	case <-time.After(time.Minute):
		t.Fatal("the browser does not answer")
	}
	return message{}
}

func (b *browser) open(t *testing.T, page string) {
	t.Helper()
	for _, address := range []string{"about:blank", page} { // from elsewhere, as a part of the same page is no new one
		b.call(t, "Page.navigate", map[string]any{"url": address})
		for b.eval(t, `document.readyState + " " + location.href`) != "complete "+address {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (b *browser) eval(t *testing.T, expression string) any {
	t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	require.NoError(t, json.Unmarshal(b.call(t, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}), &answer))
	require.Empty(t, string(answer.ExceptionDetails), expression)
	return answer.Result.Value
}

// key presses a key as a person does.
func (b *browser) key(t *testing.T, key string) {
	t.Helper()
	press := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": map[string]int{"Tab": 9, "Enter": 13, "Escape": 27}[key]}
	if key == "Enter" {
		press["text"] = "\r"
	}
	b.call(t, "Input.dispatchKeyEvent", press)
	b.call(t, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key})
	b.eval(t, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`)
}

// screenshot leaves what can be seen in the test's artifacts.
func (b *browser) screenshot(t *testing.T, name string) {
	t.Helper()
	var shot struct{ Data string }
	require.NoError(t, json.Unmarshal(b.call(t, "Page.captureScreenshot", map[string]any{"format": "png"}), &shot))
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), png, 0o644))
}
