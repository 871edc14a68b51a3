// Who is signed in, which views he may see, and the way out. The server refuses what a page shows too much of.
let me = null;

export async function lookWho() {
  const answer = await fetch("/api/me");
  if (answer.status === 401) return location.assign("/login");
  if (answer.ok) me = await answer.json();
}

export const maySee = (view) => me === null || me.views.includes(view);

export const mayDo = (permission) => me === null || me.permissions.includes(permission);

export function frameAccess(t) {
  const button = document.querySelector("#out");
  const search = document.querySelector("#search");
  if (me === null) return;
  search.hidden = !maySee("account");
  button.hidden = me.how !== "token" && me.how !== "oidc";
  button.textContent = `${t("sign_out")} ${me.name}`;
  button.onclick = async () => {
    await fetch("/logout", { method: "POST", redirect: "manual" });
    location.assign("/login");
  };
}
