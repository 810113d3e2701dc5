// The command line that the servers have in common.

import {parseArgs} from "node:util"

// Clients come in crowds: more than the kernel's queue holds by default.
export const BACKLOG = 4096
export const HOST = "127.0.0.1"

export function port(){
  const {values} = parseArgs({options: {port: {type: "string"}}})
  const port = Number(values.port)
  if(!Number.isInteger(port) || port < 1 || port > 65535){
    console.error("--port NUMBER is needed")
    process.exit(2)
  }
  return port
}
