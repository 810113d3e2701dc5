// XMLHttpRequest for Node, as much of it as the phoenix clients before 1.8 use.

const DONE = 4

class XMLHttpRequest {
  readyState = 0
  responseText = ""
  timeout = 0
  headers = {}
  controller = new AbortController()

  open(method, url){
    this.method = method
    this.url = url
  }

  setRequestHeader(name, value){ this.headers[name] = value }

  send(body){
    const timer = this.timeout && setTimeout(() => {
      this.finish()
      if(this.ontimeout){ this.ontimeout() }
    }, this.timeout)
    const {method, headers, controller: {signal}} = this
    fetch(this.url, {method, headers, body, signal})
      .then(response => response.text())
      .then(text => {
        this.responseText = text
        this.readyState = DONE
        if(this.onreadystatechange){ this.onreadystatechange() }
      }, error => { if(!signal.aborted && this.onerror){ this.onerror(error) } })
      .finally(() => clearTimeout(timer))
  }

  abort(){
    const wasSent = this.readyState !== DONE
    this.finish()
    if(wasSent && this.onabort){ this.onabort() }
  }

  finish(){
    this.readyState = DONE
    this.controller.abort()
  }
}

// The clients look for it on `self`, before anything else.
globalThis.self = globalThis
globalThis.XMLHttpRequest = XMLHttpRequest
