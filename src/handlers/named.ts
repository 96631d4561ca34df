/** The in-process handlers, by the names that routes of postern.yaml use. The same on every runtime. */
import type { Handlers } from '../handler.ts'
import { agentsHandler } from './agents.ts'
import { databasesHandler, inferHandler, usersHandler } from './samples.ts'
import { secretsHandler, sessionsHandler } from './sessions.ts'
import { subscriptionsHandler } from './subscriptions.ts'

export const handlers: Handlers = {
  subscriptions: subscriptionsHandler,
  databases: databasesHandler,
  infer: inferHandler,
  sessions: sessionsHandler,
  secrets: secretsHandler,
  agents: agentsHandler,
  users: usersHandler,
}
