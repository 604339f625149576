/* Browsers refuse web workers and fetches on pages opened from disk. There, the search runs in a hidden
   frame that plays the worker, and its index comes as a script (written by docs/gen.py). */
if (location.protocol === "file:") {
  const load = (url, page) =>
    new Promise((done) => {
      const script = page.createElement("script")
      script.src = url
      script.onload = done
      page.head.append(script)
    })

  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.documentElement.append(frame)
      this.inside = frame.contentWindow
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.inside.importScripts = (...urls) => Promise.all(urls.map((each) => load(each, frame.contentDocument)))
      this.ready = load(url, frame.contentDocument)
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
