/** Every English sentence the scripts show. */

const seconds = (n) => (n === 1 ? "1 second" : `${n} seconds`);

export const strings = {
  networkGone: "We could not reach the server. Check your connection and try again.",
  unreadable: "The server sent an answer this page does not understand.",
  problem: (status) => {
    if (status === 401) return "You are signed out.";
    if (status === 403) return "You are not allowed to do this.";
    if (status === 404) return "This could not be found.";
    if (status === 413) return "This is too large to send.";
    if (status === 429) return "Too many requests. Wait a moment and try again.";
    return status >= 500 ? "The service is not available right now. Try again in a moment." : "The request was not accepted.";
  },

  login: {
    busy: "Signing in…",
    refused: "E-mail, password or one-time code is not right.",
    actionRequired: "Your account needs one more step before you can sign in.",
    continueLink: "Continue there",
    limited: (wait) => (wait === null ? "Too many attempts. Wait a moment and try again." : `Too many attempts. Try again in ${seconds(wait)}.`),
    unavailable: "Signing in is not possible right now. Try again in a moment.",
    passwordOff: "Signing in with a password is turned off. Use single sign-on.",
  },

  invite: {
    incomplete: "This link is not complete. Open the whole link that you were sent, in one piece.",
    signedInAs: (email) => `You are signed in as ${email}. Join the workspace that you are invited to? To join with another account, sign out and open the link again.`,
  },

  onboarding: {
    fresh: "Give it a name if you like. It takes a few seconds.",
    working: "We are setting things up. This takes a few seconds.",
    ready: "Your workspace is ready.",
    readyWithNote: "Your workspace is ready, with one remark.",
    failed: "Something went wrong on the way. Nothing is lost: trying again carries on from here.",
    failedWithoutReason: "The set-up stopped.",
    closed: "Creating a workspace is not open to this account.",
    notAttached: "Your workspace is ready, but this session does not know it yet. Sign out and in again.",
    starting: "Starting…",
    phases: {
      starting: "Preparing",
      creating_odoo: "Creating your Odoo",
      configuring_oidc: "Connecting single sign-on",
      seeding: "Adding the first records",
      ready: "Checking everything",
    },
    states: { pending: "Waiting", running: "In progress", done: "Done", skipped: "Skipped", failed: "Failed" },
    symbols: { pending: "○", running: "◔", done: "✓", skipped: "–", failed: "✕" },
    announce: (phase, state) => `${phase}: ${state}`,
  },

  chat: {
    product: "Nexius",
    untitled: "New conversation",
    welcome: "What would you like to know?",
    tenant: (id) => `Workspace ${id}`,
    you: "You",
    assistant: "Assistant",
    toolCall: (name) => `Used ${name}`,
    toolResult: (name) => (name ? `Result of ${name}` : "Result"),
    attachment: "[attachment]",
    stopped: "Stopped.",
    reconnecting: "Connection lost. Reconnecting…",
    lost: "The connection broke and could not be restored. The answer may still be going on.",
    retry: "Retry",
    runFailed: "The assistant ran into a problem.",
    answerComplete: (text) => `Answer: ${text}`,
    emptyAnswer: "The answer is complete.",
    questionAsked: (text) => `Question: ${text}`,
    questionLabel: "The assistant asks",
    replyLabel: "Your reply",
    replySend: "Reply",
    answerFirst: "Answer the question above",
    placeholder: "Write a message",
    noThreads: "No conversations yet.",
    threadsFailed: "Conversations could not be loaded.",
    deleteThread: (title) => `Delete “${title}”`,
    deleteText: (title) => `“${title}” will be gone for good.`,
    copy: "Copy",
    copied: "Copied",
    selected: "Selected",
    code: "Code",
  },
};
